import type { Stats } from './types.js'

/** The pair of candidates in use, out of what `RTCPeerConnection.getStats` says. */
export function candidates(report: RTCStatsReport): NonNullable<Stats['webrtc']> {
  const find = (id: string | undefined): any => (id === undefined ? undefined : report.get(id))
  let pair: any
  report.forEach((it: any) => {
    if (it.type === 'transport' && it.selectedCandidatePairId) pair = find(it.selectedCandidatePairId) ?? pair
    // Firefox has no selected pair in its transport.
    if (it.type === 'candidate-pair' && it.selected) pair ??= it
    if (it.type === 'candidate-pair' && it.nominated && it.state === 'succeeded') pair ??= it
  })
  const local = find(pair?.localCandidateId)
  const remote = find(pair?.remoteCandidateId)
  return {
    localCandidate: local?.candidateType ?? null,
    remoteCandidate: remote?.candidateType ?? null,
    protocol: local?.protocol ?? null,
  }
}
