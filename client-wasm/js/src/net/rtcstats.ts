import type { Stats } from '../api/types.js'

/** What a browser says of one thing. The compiler does not know all of these names. */
type Report = Readonly<Record<string, any>> | undefined

/** The pair of candidates in use, out of what `RTCPeerConnection.getStats` says. */
export function candidates(report: RTCStatsReport): NonNullable<Stats['webrtc']> {
  const find = (id: string | undefined): Report => (id === undefined ? undefined : report.get(id))
  let pair: Report
  report.forEach((it: NonNullable<Report>) => {
    if (it['type'] === 'transport') pair = find(it['selectedCandidatePairId']) ?? pair
    // Firefox has no selected pair in its transport.
    if (it['type'] === 'candidate-pair' && (it['selected'] || (it['nominated'] && it['state'] === 'succeeded'))) pair ??= it
  })
  const local = find(pair?.['localCandidateId'])
  const remote = find(pair?.['remoteCandidateId'])
  return {
    localCandidate: local?.['candidateType'] ?? null,
    remoteCandidate: remote?.['candidateType'] ?? null,
    protocol: local?.['protocol'] ?? null,
  }
}
