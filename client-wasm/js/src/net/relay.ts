/**
 * The leg to the relay: made, kept alive, made again.
 *
 *     attach: OpenSession ─► connect ─► Hello ─► Welcome ─► frames
 *                 ▲                                 │ lost, or the relay is about to stop
 *                 └──── pause, growing, jittered ◄──┘ (a nudge ends the pause: the page is back, or online)
 *
 * A leg that answers nothing is given up: every `keepalive` a Ping is sent, and something has to come before its time
 * is over. A leg that still has frames to send is not judged so, because a relay that waits for a slow peer does not
 * read.
 *
 * @internal
 * @packageDocumentation
 */

import { Notice, type OpenSessionResponse } from '#wire'
import { type PeerSoxError, PairingInvalidError, RateLimitedError } from '../api/errors.js'
import type { CloseReason } from '../api/types.js'
import { failure } from './failure.js'
import { Leg } from './leg.js'
import type { Meter } from './meter.js'
import { decode, encode } from './protobuf.js'

/** A moment that does not come. */
const NEVER = Infinity

/** What admits a leg. */
export type OpenSession = (signal: AbortSignal) => Promise<OpenSessionResponse>

/** What happens to legs. */
export interface RelayListener {
  attached(resumed: boolean): void
  /** The leg is gone, or none could be made. Without `retryIn`, in milliseconds, no attempt follows. */
  legLost(reason: string, code: number | null, retryIn: number | null): void
  peerAway(graceMs: number | null): void
}

/** What a relay needs of the shell that owns it. */
export interface RelayOwner {
  /** Bytes that came from the relay. */
  readonly received: Meter
  /** Datagrams that the relay dropped on their way here. */
  dropped: number
  readonly direct: { readonly isUp: boolean; useServers(session: OpenSessionResponse): void }
  /** Does something, and all that follows from it. */
  with(act: () => void): void
  /** The listener is told when nothing is under way. */
  later(tell: (to: RelayListener) => void): void
  /** The other peer is attached to the relay: a path begins. */
  relayUp(): void
  relayDown(): void
  /** A frame from the relay, for the machine. */
  takeRelayed(frame: Uint8Array): void
  /** It is over. */
  end(reason: CloseReason, message: string, error?: PeerSoxError): void
}

/** Its times are milliseconds as `performance.now()` counts. */
export class Relay {
  readonly #shell: RelayOwner
  readonly #open: OpenSession
  /** Ends a call under way. */
  readonly #calls = new AbortController()
  #admitted: Admitted | null = null
  #attempt: Attempt | null = null
  /** Attempts that failed in a row. */
  #failures = 0
  #retryAt = NEVER
  /** A leg was admitted once: from then on trying never ends. */
  #proven = false
  /** The latest time to the relay and back. */
  rtt: number | undefined

  constructor(shell: RelayOwner, open: OpenSession) {
    this.#shell = shell
    this.#open = open
  }

  /** Where frames go, if another may be sent. */
  get sink(): Leg | null {
    return this.#admitted?.leg.hasRoom ? this.#admitted.leg : null
  }

  get deadline(): number {
    const leg = this.#admitted
    return Math.min(this.#retryAt, this.#attempt?.until ?? NEVER, leg?.pingAt ?? NEVER, leg?.until ?? NEVER)
  }

  /** This side is done. */
  stop(): void {
    this.#calls.abort()
    this.#attempt?.leg?.hangUp()
    this.#admitted?.leg.hangUp(DONE)
    this.#attempt = this.#admitted = null
  }

  /** Begins an attempt unless one is under way. */
  attach(): void {
    if (this.#attempt) return
    this.#retryAt = NEVER
    const attempt: Attempt = { leg: null, until: NEVER }
    this.#attempt = attempt
    this.#open(this.#calls.signal).then(
      (session) => this.#shell.with(() => this.#connect(attempt, session)),
      (error: unknown) => this.#shell.with(() => this.#failed(error as PeerSoxError)),
    )
  }

  /** There is no path at all: what waits for a server is done now. */
  seek(): void {
    if (this.#retryAt < NEVER) this.attach()
  }

  /** The page is back, or online: what waits is done now, and what may be dead has to prove itself. */
  wake(now: number): void {
    if (this.#retryAt < NEVER) this.#failures = 0
    this.seek()
    this.#ping(now, IMPATIENCE)
  }

  ring(now: number): void {
    if (this.#retryAt <= now) this.attach()
    if (this.#attempt && this.#attempt.until <= now) {
      this.#attempt.leg?.hangUp()
      this.#failed(failure('unreachable', 'the relay does not answer'))
    }
    const leg = this.#admitted
    if (!leg) return
    if (leg.until <= now) {
      if (leg.leg.isDrained) return this.lost(null, 'the relay does not answer')
      leg.until = NEVER
    }
    if (leg.pingAt <= now) this.#ping(now, PATIENCE)
  }

  /** The leg is gone, whoever says so; another one is sought. */
  lost(code: number | null, why: string): void {
    this.#admitted?.leg.hangUp()
    this.#admitted = null
    this.#shell.relayDown()
    if (code !== null && FINAL.includes(code)) {
      if (code === PEER_LEFT) return this.#shell.end('peer-closed', why)
      if (code === REPLACED) return this.#shell.end('replaced', why)
      if (code === REVOKED) return this.#shell.end('revoked', why, failure('pairing-invalid', why))
      return this.#shell.end('protocol', why, failure('protocol', why))
    }
    let wait: number | null = null
    if (!this.#attempt) {
      wait = this.#pause()
      this.#retryAt = performance.now() + wait
    }
    this.#shell.later((to) => to.legLost(why, code, wait))
  }

  #connect(attempt: Attempt, session: OpenSessionResponse): void {
    if (this.#attempt !== attempt) return
    this.#shell.direct.useServers(session)
    if (typeof WebSocket !== 'function') return this.#failed(failure('unsupported', 'this environment has no WebSocket'))
    const endpoint = session.endpoints.find((it) => it.transport === TRANSPORT_WEBSOCKET)
    if (!endpoint) return this.#failed(failure('unreachable', 'the server offers no transport that a browser has'))
    const mine = () => this.#attempt === attempt
    const hear = (act: () => void) => this.#shell.with(act)
    try {
      const leg = new Leg(endpoint.url, {
        open: () => leg.send(encodeNotice({ hello: { ticket: session.ticket, agent: AGENT } })),
        frame: (bytes) => hear(() => (mine() ? this.#welcome(leg, bytes) : this.#frame(bytes))),
        closed: (code, why) =>
          hear(() => (mine() ? this.#notAdmitted(code, why) : this.lost(code, why || 'the connection was lost'))),
      })
      attempt.leg = leg
      attempt.until = performance.now() + ATTEMPT
    } catch {
      this.#failed(failure('unreachable', `the relay's address is no good: ${endpoint.url}`))
    }
  }

  #notAdmitted(code: number | null, why: string): void {
    this.#attempt = null
    if (code !== null && FINAL.includes(code)) this.lost(code, why)
    else this.#failed(failure('unreachable', why || 'the relay cannot be reached'))
  }

  #welcome(leg: Leg, bytes: Uint8Array): void {
    const welcome = decodeNotice(bytes)?.welcome
    if (!welcome) {
      leg.hangUp()
      return this.#failed(failure('protocol', 'the relay did not begin with Welcome'))
    }
    this.#attempt = null
    // An older leg ends here; what it still carried is said again.
    this.#admitted?.leg.hangUp()
    this.#shell.relayDown()
    const now = performance.now()
    this.#admitted = {
      leg,
      keepalive: welcome.limits?.keepalive_millis || KEEPALIVE,
      pingAt: now,
      sentAt: 0,
      until: NEVER,
      nonce: 0,
    }
    this.#failures = 0
    this.#proven = true
    this.#shell.later((to) => to.attached(welcome.resumed))
    if (welcome.peer_online) this.#shell.relayUp()
    this.#ping(now, PATIENCE)
  }

  #frame(bytes: Uint8Array<ArrayBuffer>): void {
    const leg = this.#admitted
    const lane = bytes[0]
    if (!leg) return
    this.#shell.received.add(bytes.length, performance.now())
    // Whatever came proves that the leg lives; only a Pong measures it.
    if (leg.until < NEVER) leg.until = Math.max(leg.until, performance.now() + PATIENCE)
    if (lane === undefined || lane > LAST_LANE) return this.lost(null, 'the relay sent something that is no frame')
    if (lane === NOTICE) this.#notice(decodeNotice(bytes), leg)
    else this.#shell.takeRelayed(bytes)
  }

  /** What cannot be read, or is of no known kind, may be of a later version. */
  #notice(notice: Notice | undefined, leg: Admitted): void {
    if (notice?.pong && notice.pong.nonce === leg.nonce && leg.until < NEVER) {
      leg.until = NEVER
      this.rtt = performance.now() - leg.sentAt
    }
    if (notice?.peer_online) this.#shell.relayUp()
    if (notice?.peer_away) {
      const grace = notice.peer_away.grace_millis
      this.#shell.relayDown()
      this.#shell.later((to) => to.peerAway(grace))
    }
    // The old leg serves until the new one is there.
    if (notice?.draining) this.attach()
    if (notice?.datagrams_dropped) this.#shell.dropped += notice.datagrams_dropped.count
  }

  #ping(now: number, patience: number): void {
    const leg = this.#admitted
    if (!leg) return
    leg.pingAt = now + leg.keepalive
    leg.sentAt = now
    leg.until = Math.min(leg.until, now + patience)
    leg.nonce += 1
    leg.leg.send(encodeNotice({ ping: { nonce: leg.nonce } }))
  }

  /** The first time nothing is tried again, so that a caller hears of it. */
  #failed(error: PeerSoxError): void {
    this.#attempt = null
    if (this.#calls.signal.aborted) return
    // A server that lost its memory takes no part in what the peers say directly.
    if (!this.#proven || !(error.transient || this.#shell.direct.isUp)) {
      return this.#shell.end(error instanceof PairingInvalidError ? 'revoked' : 'failed', error.message, error)
    }
    // The next attempt comes after a pause, or when the server asked for it.
    const asked = error instanceof RateLimitedError ? (error.retryAfter ?? 0) : 0
    const wait = this.#pause(Math.min(asked, 6e5))
    this.#retryAt = performance.now() + wait
    if (!this.#admitted) this.#shell.later((to) => to.legLost(error.message, null, wait))
  }

  /** After how long to try again: doubled each time, and never the same for two peers. */
  #pause(atLeast = 0): number {
    const longest = FIRST_PAUSE * 2 ** Math.min(this.#failures, MOST_DOUBLINGS)
    this.#failures += 1
    return Math.max(atLeast, (longest / 2) * (1 + Math.random()))
  }
}

/** The leg that was admitted. */
interface Admitted {
  leg: Leg
  keepalive: number
  pingAt: number
  /** When the latest Ping was sent, and until when something has to come; infinite if nothing has to. */
  sentAt: number
  until: number
  nonce: number
}

/** The session is being opened, the transport is connecting, or Hello is under way. */
interface Attempt {
  leg: Leg | null
  until: number
}

function encodeNotice(notice: Partial<Notice>): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(NOTICE, ...encode(Notice, notice))
}

function decodeNotice(frame: Uint8Array): Notice | undefined {
  return frame[0] === NOTICE ? decode(Notice, frame.subarray(1)) : undefined
}

/** What a relay is told of this software. */
export const AGENT = `peersox-web/${VERSION}`

/** Lanes of frames, close numbers and transports, as in docs/protocol.md. */
const NOTICE = 0
const LAST_LANE = 3
const DONE = 4000
const PEER_LEFT = 4001
const REPLACED = 4003
const REVOKED = 4004
/** After these, trying again would end the same way. */
const FINAL = [DONE, PEER_LEFT, REPLACED, REVOKED, 4008, 4011, 4012, 4013, 4014]
const TRANSPORT_WEBSOCKET = 1

/** The first pause before another attempt. 400 ms doubled six times are 26 s. */
const FIRST_PAUSE = 400
const MOST_DOUBLINGS = 6

/** From connecting to Welcome. */
const ATTEMPT = 10_000

/** If a relay does not say how often to ping. */
const KEEPALIVE = 20_000

/** How long a leg may answer nothing. */
const PATIENCE = 30_000

/** The same after a wake-up, when a leg is likely to be dead. */
const IMPATIENCE = 4_000
