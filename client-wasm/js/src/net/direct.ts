/**
 * The direct path: WebRTC data channels, agreed upon by sealed signals over the relay.
 *
 *     initiator                                                    joiner
 *        | Signal{attempt, offer} ─────────────────────────────────► |  a new RTCPeerConnection each
 *        | ◄───────────────────────────────── Signal{attempt, answer} |
 *        | ◄──────────── Signal{attempt, candidate} … ──────────────► |
 *        | ◄═══════════ data channels 0 and 1, path up ═════════════► |
 *
 * Either side may offer. An *attempt* is a random number chosen with the first offer; it names one connection on both
 * sides, so that what belongs to an earlier one is known and dropped. When both offer at once the initiator ignores the
 * joiner's offer, and the joiner drops its own attempt for the initiator's. The joiner waits a moment before it offers,
 * so that this is rare. A later offer of the same attempt restarts ICE.
 *
 * The path is the core's to judge: it probes, and hangs up when it is silent. Then ICE is restarted on the same
 * connection, and if that brings nothing the next attempt begins from scratch.
 *
 * Credentials for TURN run out. Before candidates are gathered with old ones, another session is opened for the sake of
 * its servers; if that fails or takes long, the old ones have to do.
 *
 * @internal
 * @packageDocumentation
 */

import { type IceCandidate, type OpenSessionResponse, Signal } from '#wire'
import type { Meter } from './meter.js'
import { encode } from './protobuf.js'
import type { OpenSession } from './relay.js'
import { Wire } from './wire.js'

/** When to look for a direct path; by hand is when the page asks, or the peer. */
export type DialMode = 'off' | 'manual' | 'auto'

/** What the direct side needs of the shell that owns it. */
export interface DirectOwner {
  /** Bytes that came from the other peer. */
  readonly received: Meter
  /** Whether a signal can be sent. */
  readonly canSignal: boolean
  /** Does something, and all that follows from it. */
  with(act: () => void): void
  sendSignal(signal: Uint8Array): void
  /** A frame from the other peer. */
  take(path: number, frame: Uint8Array): void
  /** A path to the other peer was made; gives its number. */
  pathUp(isDirect: boolean): number
  pathDown(path: number): void
  /** No direct path could be made, for a reason that people read. */
  dialFailed(why: string): void
}

/** A moment that does not come. */
const NEVER = Infinity

/** One connection being made, in use, or being mended. */
interface Attempt {
  number: number
  wire: Wire
  /** This side made the offer, and restarts ICE. */
  offered: boolean
  /** The reliable channel is open. */
  open: boolean
  path: number | null
  /** Without a path by then it is given up. */
  until: number
  /** Candidates of the other side wait for its description, this side's for the own one. */
  described: boolean
  early: IceCandidate[]
  announced: boolean
  unsent: IceCandidate[]
}

/** The direct side of the shell. Its times are milliseconds as `performance.now()` counts. */
export class Direct {
  /** Why there is no direct path, for people. */
  why: string
  readonly #shell: DirectOwner
  readonly #initiator: boolean
  readonly #mode: DialMode
  readonly #ownServers: RTCIceServer[]
  readonly #policy: RTCIceTransportPolicy | undefined
  readonly #open: OpenSession
  #servers: RTCIceServer[] = []
  /** When they may have run out, as `Date.now()` counts, also while a device sleeps. Not a number if they never do. */
  #staleAt = NaN
  /** A direct path is wanted from then on. */
  #due = NEVER
  #attempt: Attempt | null = null
  /** The attempt that was given up last: the other side may not know it yet and restart ICE. */
  #givenUp = 0

  constructor(
    shell: DirectOwner,
    initiator: boolean,
    mode: DialMode,
    servers: RTCIceServer[],
    policy: RTCIceTransportPolicy | undefined,
    open: OpenSession,
  ) {
    const isMissing = typeof RTCPeerConnection !== 'function'
    this.#shell = shell
    this.#initiator = initiator
    this.#mode = isMissing ? 'off' : mode
    this.#ownServers = servers
    this.#policy = policy
    this.#open = open
    this.why = isMissing
      ? 'WebRTC is not available here'
      : mode === 'off'
        ? 'WebRTC is turned off on this side'
        : mode === 'manual'
          ? 'nobody asked for a direct path'
          : 'the other peer is not there yet'
  }

  useServers({ ice_servers, ticket_expires_at_millis }: OpenSessionResponse): void {
    // A browser refuses the whole list for the sake of one TURN server without a password.
    const usable = ice_servers.filter((it) => it.credential || !it.urls.some((url) => /^turns?:/i.test(url)))
    this.#servers = usable.map(({ urls, username, credential }) => ({ urls, username, credential }))
    // The time here may be wrong. By how much they outlive the ticket is a difference of the server's times.
    const expiry = parseInt(usable.find((it) => it.credential)?.username ?? '')
    this.#staleAt = Date.now() + expiry * 1e3 - ticket_expires_at_millis
  }

  get #configuration(): RTCConfiguration {
    return { iceServers: [...this.#ownServers, ...this.#servers], iceTransportPolicy: this.#policy ?? 'all' }
  }

  get deadline(): number {
    if (!this.#attempt) return this.#due
    return this.#attempt.path === null ? this.#attempt.until : NEVER
  }

  /** Whether there is a direct path. */
  get isUp(): boolean {
    return this.path !== null
  }

  get path(): number | null {
    return this.#attempt?.path ?? null
  }

  /** Where frames go, if there is a direct path and it takes another. */
  get sink(): Wire | null {
    return this.#attempt && this.#attempt.path !== null && this.#attempt.wire.hasRoom ? this.#attempt.wire : null
  }

  /** `RTCPeerConnection.getStats()` of the connection that is there. */
  stats(): Promise<RTCStatsReport> | undefined {
    return this.#attempt?.wire.connection.getStats()
  }

  stop(): void {
    this.#attempt?.wire.close()
    this.#attempt = null
    this.#due = NEVER
  }

  /** The core wants a direct path. */
  dial(): void {
    if (this.#mode === 'auto') this.#due = performance.now() + (this.#initiator ? 0 : JOINER_WAITS)
  }

  /** The page wants a direct path, at once. */
  upgrade(): boolean {
    if (this.#mode === 'off') return false
    this.#due = performance.now()
    return true
  }

  /** The page is back, or online: addresses may have changed. */
  mend(): void {
    if (this.#attempt?.offered && this.#attempt.open) this.#restartIce(this.#attempt)
  }

  ring(now: number): void {
    if (this.#attempt?.path === null && this.#attempt.until <= now) {
      this.lost('the two devices cannot reach each other directly')
    }
    if (this.#due <= now && this.#shell.canSignal) {
      this.#due = NEVER
      // One that is under way serves as well.
      if (!this.#attempt) this.#begin(randomNumber(), true)
    }
  }

  /** A relay path begins: what was signalled before may be lost, and an offer is made anew. */
  relayIsUp(): void {
    if (this.#attempt?.path !== null || !this.#attempt.offered) return
    this.stop()
    this.#due = performance.now()
  }

  /** The core hears nothing over the direct path any more. */
  silent(path: number): void {
    const attempt = this.#attempt
    if (attempt?.path !== path) return
    attempt.path = null
    attempt.until = performance.now() + MENDING
    this.why = 'the direct path fell silent'
    if (attempt.offered) this.#restartIce(attempt)
  }

  /** The connection is of no use any more. */
  lost(why: string): void {
    const attempt = this.#attempt
    if (!attempt) return
    this.#attempt = null
    attempt.wire.close()
    this.why = why
    this.#givenUp = attempt.number
    if (attempt.path !== null) this.#shell.pathDown(attempt.path)
    else this.#shell.dialFailed(why)
  }

  /** A signal of the other peer, opened. What is unknown is of a later version. */
  takeSignal({ attempt: number, description, candidate }: Signal): void {
    if (this.#mode === 'off' || number === 0) return
    if (description?.type === 'offer') this.#takeOffer(number, description.sdp)
    const attempt = this.#attempt
    if (attempt?.number !== number) return
    if (description?.type === 'answer' && attempt.wire.connection.signalingState === 'have-local-offer') {
      this.#negotiate(attempt, () => this.#describe(attempt, 'answer', description.sdp))
    }
    if (candidate) {
      if (attempt.described) attempt.wire.add(candidate)
      else if (attempt.early.length < MAX_EARLY) attempt.early.push(candidate)
    }
  }

  #takeOffer(number: number, sdp: string): void {
    const ours = this.#attempt
    const isKnown = ours?.number === number
    if (!isKnown && this.#initiator && ours?.offered && !ours.described) return
    if (number === this.#givenUp) return
    if (!isKnown) {
      this.stop()
      if (ours && ours.path !== null) this.#shell.pathDown(ours.path)
      this.#begin(number, false)
    }
    const attempt = this.#attempt
    if (!attempt) return
    this.#negotiate(attempt, async () => {
      await this.#describe(attempt, 'offer', sdp)
      await this.#announce(attempt, (it) => it.createAnswer())
    })
  }

  /** Makes a connection; the one that offers also makes its offer. */
  #begin(number: number, offered: boolean): void {
    const hear = (act: (attempt: Attempt) => void) =>
      this.#shell.with(() => {
        if (this.#attempt === attempt) act(attempt)
      })
    let wire: Wire
    try {
      wire = new Wire(this.#configuration, {
        candidate: (candidate) => hear((attempt) => this.#candidate(attempt, candidate)),
        changed: () => hear((attempt) => this.#changed(attempt)),
        frame: (bytes) => hear((attempt) => this.#frame(attempt, bytes)),
      })
    } catch {
      this.why = 'this browser refuses to make an RTCPeerConnection'
      return this.#shell.dialFailed(this.why)
    }
    const until = performance.now() + MAKING
    const attempt: Attempt = {
      ...{ number, wire, offered, open: false, path: null, until },
      ...{ described: false, early: [], announced: false, unsent: [] },
    }
    this.why = 'a direct path is being looked for'
    this.#attempt = attempt
    if (offered) this.#offer(attempt, false)
  }

  #restartIce(attempt: Attempt): void {
    if (this.#shell.canSignal) this.#offer(attempt, true)
  }

  #offer(attempt: Attempt, iceRestart: boolean): void {
    this.#negotiate(attempt, () => this.#announce(attempt, (it) => it.createOffer({ iceRestart })))
  }

  /** Runs steps that a browser takes asynchronously. After each the attempt may be over, and that is no failure. */
  #negotiate(attempt: Attempt, steps: () => Promise<void>): void {
    steps().catch((error: unknown) => {
      this.#shell.with(() => {
        if (this.#attempt === attempt) this.lost(error instanceof Error ? error.message : String(error))
      })
    })
  }

  /** Takes the description of the other side, and the candidates that had to wait for it. */
  async #describe(attempt: Attempt, type: RTCSdpType, sdp: string): Promise<void> {
    await attempt.wire.connection.setRemoteDescription({ type, sdp })
    attempt.described = true
    for (const candidate of attempt.early.splice(0)) attempt.wire.add(candidate)
  }

  /** Makes and takes this side's description and tells the other side, and what had to wait for it. */
  async #announce(
    attempt: Attempt,
    describe: (connection: RTCPeerConnection) => Promise<RTCLocalSessionDescriptionInit>,
  ): Promise<void> {
    const { connection } = attempt.wire
    if (this.#staleAt < Date.now()) await this.#renewServers()
    // The relay's leg may have brought others, too. Firefox before 119 does not know how.
    connection.setConfiguration?.(this.#configuration)
    const description = await describe(connection)
    await connection.setLocalDescription(description)
    this.#shell.with(() => {
      if (this.#attempt !== attempt) return
      attempt.announced = true
      this.#signal(attempt, { description: { type: description.type ?? '', sdp: description.sdp ?? '' } })
      for (const candidate of attempt.unsent.splice(0)) this.#signal(attempt, { candidate })
    })
  }

  /** Asks for servers, and returns in time whatever comes of it. */
  async #renewServers(): Promise<void> {
    const call = new AbortController()
    setTimeout(() => call.abort(), RENEWING)
    await this.#open(call.signal).then(
      (session) => this.useServers(session),
      () => {},
    )
  }

  /** Without keys or a relay it is lost, as it may be under way: the attempt then runs out. */
  #signal({ number }: Attempt, item: Partial<Signal>): void {
    this.#shell.sendSignal(encode(Signal, { ...item, attempt: number }))
  }

  #candidate(attempt: Attempt, candidate: IceCandidate): void {
    if (attempt.announced) this.#signal(attempt, { candidate })
    else attempt.unsent.push(candidate)
  }

  /** The connection works, for the first time or again. */
  #up(attempt: Attempt): void {
    if (attempt.open && attempt.path === null) attempt.path = this.#shell.pathUp(true)
  }

  /** The state of the connection or of its channel is another one; either says enough. */
  #changed(attempt: Attempt): void {
    const { wire, path } = attempt
    if (wire.state === 'closed') return this.lost('the other side closed the direct connection')
    const justOpened = wire.state === 'open' && !attempt.open
    attempt.open ||= justOpened
    switch (wire.connection.connectionState) {
      case 'failed':
        if (path !== null) {
          this.#shell.pathDown(path)
          return this.silent(path)
        }
        if (!attempt.open) this.lost('no pair of addresses worked; a TURN server may help')
        return
      case 'closed':
        return this.lost('the connection was closed')
      case 'connected':
        return this.#up(attempt)
      // Probes tell earlier whether a disconnection matters.
      default:
        if (justOpened) this.#up(attempt)
    }
  }

  #frame(attempt: Attempt, bytes: Uint8Array<ArrayBuffer>): void {
    // What comes over a path that was given up proves that it is mended.
    this.#up(attempt)
    const lane = bytes[0]
    if (attempt.path === null || (lane !== RELIABLE && lane !== DATAGRAM)) return
    this.#shell.received.add(bytes.length, performance.now())
    this.#shell.take(attempt.path, bytes)
  }
}

/** From 1 to 2^53 − 1. */
function randomNumber(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2))
  return Math.max((high! >>> 11) * 2 ** 32 + low!, 1)
}

/** Lanes of frames, as in docs/protocol.md. */
const RELIABLE = 1
const DATAGRAM = 2

/** How long the joiner leaves it to the initiator to make the offer. */
const JOINER_WAITS = 1_500

/** From the offer to an open channel. */
const MAKING = 15_000

/** How long an ICE restart may take. */
const MENDING = 8_000

/** How long new servers are waited for. Both sides may, one after the other: twice this is less than `MENDING`. */
const RENEWING = 3_000

/** Candidates that came before the description they belong to. */
const MAX_EARLY = 64
