/**
 * What an answer of OpenSession says of servers, as the engine and a browser take it.
 *
 * @internal
 * @packageDocumentation
 */

import type { OpenSessionResponse } from '#wire'
import type { Transport, TransportChoice } from '../api/types.js'

type IceServers = OpenSessionResponse['ice_servers']

/** The transports of the endpoints that may be used, a bit each. */
export function offered({ endpoints }: OpenSessionResponse, choice: TransportChoice): number {
  const may = (it: number) => TRANSPORTS[it] && (choice === 'auto' ? it < WEBTRANSPORT || HAS_WEBTRANSPORT() : TRANSPORTS[it] === choice)
  return endpoints.reduce((bits, { transport }) => (may(transport) ? bits | (1 << transport) : bits), 0)
}

/** The servers for `RTCPeerConnection`. */
export function iceServers(session: OpenSessionResponse | undefined): RTCIceServer[] {
  return usable(session?.ice_servers ?? []).map(({ urls, username, credential }) => ({ urls, username, credential }))
}

/**
 * For how many milliseconds more than the ticket the credentials are valid; −1 without any. The name of a user begins
 * with the second in which it expires (draft-uberti-behave-turn-rest).
 */
export function outlives({ ice_servers, ticket_expires_at_millis }: OpenSessionResponse): number {
  const expiry = parseInt(usable(ice_servers).find((it) => it.credential)?.username ?? '') * 1e3
  return Number.isNaN(expiry) ? -1 : Math.max(expiry - ticket_expires_at_millis, 0)
}

/** A browser refuses the whole list for the sake of one TURN server without a password. */
function usable(servers: IceServers): IceServers {
  return servers.filter((it) => it.credential || !it.urls.some((url) => /^turns?:/i.test(url)))
}

const HAS_WEBTRANSPORT = () => typeof WebTransport === 'function'

/** By their numbers in `peersox.v1.Transport`. */
export const TRANSPORTS: (Transport | undefined)[] = [, 'websocket', , 'webtransport']
export const WEBTRANSPORT = 3
