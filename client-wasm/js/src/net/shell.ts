/**
 * The machine of the module and everything that it drives: sockets, connections, requests and one timer.
 *
 *     call or event ─► Shell.with ─► act ─► settle: obey what it asks for, send its frames, set the timer
 *                                              │
 *                       listener ◄── what happened, in order
 *
 * The machine decides; see `core::endpoint`. The shell reports what happens and does what it is told. The listener is
 * told when nothing is under way, so that it may call again; what it causes is told after what it is being told.
 *
 * @internal
 * @packageDocumentation
 */

import { CAUSES, Cause, End as Row, ENDS, MODES, Told } from '#tables'
import type { OpenSessionResponse } from '#wire'
import type { End } from '../api/end.js'
import { PairingInvalidError, PeerSoxError, RateLimitedError, type UnreachableError } from '../api/errors.js'
import type { CloseReason, TransportChoice } from '../api/types.js'
import { Assembler } from './assembler.js'
import { clock, texts, toText, utf8 } from './door.js'
import type { Engine } from './engine.js'
import { failure } from './failure.js'
import { Links, type News } from './links.js'
import type { Machine } from './machine.js'
import { offered, outlives, TRANSPORTS } from './servers.js'
import { Wake } from './wake.js'

/** Opens a session, which admits a leg; names the epoch at which the relay could not be reached, or 0. */
export type OpenSession = (unreached: number, signal: AbortSignal) => Promise<OpenSessionResponse>

/** What a peer is made of. */
export interface ShellOptions {
  id: Uint8Array
  initiator: boolean
  code?: string | undefined
  secret?: Uint8Array | undefined
  name?: string | undefined
  webrtc: (typeof MODES)[number]
  transport?: TransportChoice | undefined
  /** For how many milliseconds another leg is sought; never given up if there is none. */
  patience?: number | undefined
  iceServers?: RTCIceServer[] | undefined
  icePolicy?: RTCIceTransportPolicy | undefined
  maxMessage: number
  open: OpenSession
}

/** Why there is no leg. */
export type LegCause = (typeof CAUSES)[number]

/** What the owner of a shell hears of, one after the other, never while it calls the shell. */
export interface ShellListener {
  attached(resumed: boolean): void
  /** The leg is gone, or none could be made: why, with a close number, and in how many milliseconds the next attempt begins. */
  legLost(cause: LegCause, reason: string, code: number | null, retryIn: number | null): void
  peerOnline(): void
  /** The code was tried: it is spent. */
  codeUsed(): void
  peerAway(graceMs: number): void
  secured(phrase: string, name: string): void
  connected(): void
  /** The other peer is another process: every channel with a handle below `least` is gone with the old one. */
  restarted(least: number): void
  /** Messages take this path: 1 the relay, 2 a direct one, 0 none. */
  path(path: number, rtt: number | null): void
  /** Something happened to a channel: what, and with which number and name, {@link Told} says. */
  channel(told: Told, handle: number, value: number, name: string): void
  pong(rtt: number): void
  dialFailed(why: string): void
  /** It is over; nothing follows. */
  ended(end: End): void
}

/** One endpoint of a pairing at work. */
export class Shell {
  readonly #open: OpenSession
  readonly #transport: TransportChoice
  /** The transport of the leg, as `peersox.v1.Transport` numbers them; 0 without one. */
  #carrier = 0
  readonly #machine: Machine
  readonly #assembler: Assembler
  readonly #listener: ShellListener
  readonly #links: Links
  readonly #wake: Wake
  /** Ends the calls of OpenSession that are under way. */
  readonly #calls = new AbortController()
  /** The error of the latest call of OpenSession that failed. */
  #refusal: PeerSoxError | undefined
  /** Why the latest leg could not be opened, since one was. */
  #legRefusal: UnreachableError | undefined
  /** Whether the relay ever welcomed a leg. */
  everAttached = false
  /** Datagrams that the relay dropped on their way here. */
  #dropped = 0
  /** The latest time to the relay and back. */
  #relayRtt: number | undefined
  #isDirect = false
  #untold: ((to: ShellListener) => void)[] = []
  #isActing = false
  #isTelling = false
  /** Nothing was done since the machine was looked after. */
  #isSettled = true
  #timer: ReturnType<typeof setTimeout> | undefined
  #timerAt = Infinity
  #ended = false

  /** Makes a peer, and begins to attach to the relay. Throws if the pairing is incomplete. */
  constructor(engine: Engine, options: ShellOptions, listener: ShellListener) {
    const { id, initiator, secret, code, name = AGENT, webrtc, transport = 'auto', patience = -1, maxMessage, open } = options
    const own: RTCConfiguration = { iceServers: options.iceServers ?? [], iceTransportPolicy: options.icePolicy ?? 'all' }
    const mode = MODES.indexOf(HAS_WEBRTC() ? webrtc : 'off')
    this.#open = open
    this.#transport = transport
    this.#listener = listener
    this.#machine = new engine.Machine({ id, initiator, secret, code, name, agent: AGENT, mode, patience })
    this.#assembler = new Assembler(this.#machine, maxMessage)
    this.#links = new Links(this.#machine, own, (act) => this.#hear(act), (error) => this.#legRefused(error))
    this.#wake = new Wake(() => this.#hear(() => this.#machine.wake(this.#wake.slept())))
    this.with(() => {})
  }

  /** Does something, and all that follows from it. */
  with<T>(act: () => T): T {
    if (this.#isActing) return act()
    this.#isActing = true
    try {
      return act()
    } finally {
      this.#isActing = false
      this.#isSettled = false
      // What a listener causes is settled once, after it was told everything.
      if (!this.#isTelling) this.#settleAll()
    }
  }

  /** The pairing secret, once agreed. */
  secret(): Uint8Array | undefined {
    return this.#machine.secret()?.slice()
  }

  /** Opens a channel: 0 interactive, 1 normal, 2 bulk. Throws for a bad name, or too many channels. */
  open(name: string, priority: number): number {
    return this.with(() => this.#machine.open(name, priority))
  }

  /** Sends a message; false if there is no room, and then the channel is told when there is. */
  send(handle: number, message: string | Uint8Array): boolean {
    const isText = typeof message === 'string'
    return this.with(() => this.#machine.send(handle, isText, isText ? utf8(message) : message))
  }

  /** Sends a datagram; false if it was dropped. */
  sendDatagram(handle: number, bytes: Uint8Array): boolean {
    return this.with(() => this.#machine.sendDatagram(handle, bytes))
  }

  /** The next message. Throws if the channel had to be reset. */
  read(handle: number): string | Uint8Array<ArrayBuffer> | undefined {
    return this.with(() => this.#assembler.next(handle))
  }

  readDatagram(handle: number): Uint8Array<ArrayBuffer> | undefined {
    return this.#machine.readDatagram(handle)?.slice()
  }

  /** Ends this side's direction. */
  finish(handle: number): void {
    this.with(() => this.#machine.finish(handle))
  }

  /** Ends a channel at once. */
  reset(handle: number, code: number): void {
    this.with(() => this.#machine.reset(handle, code >>> 0))
  }

  /** The handle will not be used again. */
  forget(handle: number): void {
    this.#assembler.forget(handle)
  }

  /** Bytes sent and not taken by the other side. */
  pending(handle: number): number {
    return this.#machine.pending(handle)
  }

  maxDatagram(): number {
    return this.#machine.maxDatagram()
  }

  /** Asks for `pong`. */
  ping(): void {
    this.with(() => this.#machine.ping())
  }

  /** Looks for a direct path now; false if that is turned off or impossible here. */
  upgrade(): boolean {
    return this.with(() => this.#machine.upgrade())
  }

  /** Says goodbye; `ended` follows within so many milliseconds. */
  close(patience: number): void {
    this.#hear(() => this.#machine.close(patience))
  }

  /** Ends it without a word: to the relay it is as if the network had broken, so that another one may come instead. */
  quit(): void {
    this.#hear(() => {
      this.#links.stop()
      this.#end({ reason: 'closed' satisfies CloseReason, message: 'this side closed the connection', error: null })
    })
  }

  /** Numbers for `stats()`. */
  stats() {
    const now = clock()
    const { replayed, duplicates, dropped } = this.#machine.counts()
    const { received, sent } = this.#links
    return {
      directRtt: this.#isDirect ? this.#machine.rtt() : undefined,
      relayRtt: this.#relayRtt,
      transport: TRANSPORTS[this.#carrier],
      receiveRate: received.rate(now),
      sendRate: sent.rate(now),
      bytesReceived: received.total,
      bytesSent: sent.total,
      replayed,
      duplicates,
      datagramsDropped: dropped + this.#dropped,
      whyRelayed: this.#isDirect ? undefined : HAS_WEBRTC() ? this.#machine.whyRelayed() : 'WebRTC is not available here',
    }
  }

  /** `RTCPeerConnection.getStats()` of the connection that is there. */
  directStats(): Promise<RTCStatsReport> | undefined {
    return this.#links.stats()
  }

  /** Takes what a socket, a connection, a request or the timer reports. */
  #hear(act: () => void): void {
    if (this.#ended) return
    this.with(() => {
      try {
        act()
      } catch (error) {
        this.#fail(error)
      }
    })
  }

  #settleAll(): void {
    while (!this.#isSettled) {
      this.#isSettled = this.#isActing = true
      try {
        this.#settle()
      } catch (error) {
        this.#fail(error)
      } finally {
        this.#isActing = false
        this.#tell()
      }
    }
  }

  /** Does what the machine asks for, sends what it has to send, and sets the timer. */
  #settle(): void {
    for (let again = !this.#ended; again; ) {
      again = false
      for (let news = this.#machine.poll(); news; news = this.#machine.poll()) {
        this.#obey(news)
        // Channels wait for their listeners; what else is done may be a reason for more.
        if (news.told < Told.Opened) again = true
      }
      if (this.#links.transmit()) again = true
    }
    if (this.#ended) return
    const now = clock()
    const at = Math.min(this.#machine.timeout(), this.#links.isCrowded ? now + LOOK_AGAIN : Infinity)
    // It may ring a little early, never late.
    if (this.#timerAt <= at) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    this.#timer = setTimeout(() => this.#ring(), Math.ceil(Math.min(Math.max(at - now, 0), LONGEST_TIMER)))
  }

  #ring(): void {
    this.#timerAt = Infinity
    this.#hear(() => {
      this.#links.tellWaiting()
      const slept = this.#wake.slept()
      if (slept > 0) this.#machine.wake(slept)
      this.#machine.ring()
    })
  }

  #obey(news: News): void {
    if (this.#links.obey(news)) return
    const { told, a, b, c, bytes } = news
    switch (told) {
      case Told.OpenSession:
        return this.#openSession(a, b > 0)
      case Told.End:
        return this.#end(this.#endOf(a, toText(bytes)))
      case Told.Attached:
        this.everAttached = true
        this.#carrier = a
        this.#legRefusal = undefined
        return this.#later((to) => to.attached(b > 0))
      case Told.LegLost:
      case Told.AttemptFailed: {
        if (told === Told.LegLost) this.#carrier = 0
        const error = a === Cause.Control ? this.#refusal : a === Cause.Broken ? this.#legRefusal : undefined
        const why = error?.message ?? toText(bytes)
        return this.#later((to) => to.legLost(CAUSES[a]!, why, orNull(b), orNull(c)))
      }
      case Told.PeerOnline:
        return this.#later((to) => to.peerOnline())
      case Told.CodeUsed:
        return this.#later((to) => to.codeUsed())
      case Told.PeerAway:
        return this.#later((to) => to.peerAway(a))
      case Told.Draining:
        return
      case Told.DatagramsDropped:
        this.#dropped += a
        return
      case Told.RelayRtt:
        this.#relayRtt = a
        return
      case Told.Secured: {
        const [phrase, name] = texts(bytes)
        return this.#later((to) => to.secured(phrase!, name!))
      }
      case Told.Path: {
        this.#isDirect = a === 2
        const rtt = this.#isDirect ? this.#machine.rtt() : undefined
        return this.#later((to) => to.path(a, rtt ?? null))
      }
      case Told.DirectFailed: {
        const why = toText(bytes)
        return this.#later((to) => to.dialFailed(why))
      }
      case Told.Connected:
        return this.#later((to) => to.connected())
      case Told.Restarted:
        return this.#later((to) => to.restarted(a))
      case Told.Pong:
        return this.#later((to) => to.pong(a))
      default: {
        const name = told === Told.Opened ? toText(bytes) : ''
        return this.#later((to) => to.channel(told, a, b, name))
      }
    }
  }

  /** A leg could not be opened. If the page itself forbids it and none ever was, none will be. */
  #legRefused(error: UnreachableError): void {
    this.#legRefusal = error
    if (!this.everAttached && !error.transient) this.#fail(error)
  }

  #openSession(number: number, unreached: boolean): void {
    const epoch = unreached ? (this.#links.session?.epoch ?? 0) : 0
    const opened =
      typeof WebSocket === 'function'
        ? this.#open(epoch, this.#calls.signal)
        : Promise.reject(failure('unsupported', 'this environment has no WebSocket'))
    opened.then(
      (session) =>
        this.#hear(() => {
          this.#links.session = session
          this.#machine.sessionOpened(number, offered(session, this.#transport), outlives(session), session.ticket)
        }),
      (error: PeerSoxError) =>
        this.#hear(() => {
          this.#refusal = error
          const asked = error instanceof RateLimitedError ? error.retryAfter : null
          this.#machine.sessionFailed(number, !error.transient, asked ?? -1)
        }),
    )
  }

  /** The listener is told when nothing is under way. */
  #later(tell: (to: ShellListener) => void): void {
    this.#untold.push(tell)
  }

  #tell(): void {
    this.#isTelling = true
    try {
      for (let tell = this.#untold.shift(); tell; tell = this.#untold.shift()) tell(this.#listener)
    } finally {
      this.#isTelling = false
    }
  }

  /** The end that the machine tells, with the error of it. */
  #endOf(row: Row, text: string): End {
    const reason = ENDS[row]!
    switch (row) {
      case Row.Closed:
      case Row.PeerClosed:
      case Row.Replaced:
        return { reason, message: text, error: null }
      case Row.Revoked:
        return { reason, message: text, error: failure('pairing-invalid', text) }
      case Row.Refused: {
        const error = this.#refusal ?? failure('unreachable', text)
        return { reason: error instanceof PairingInvalidError ? 'revoked' : reason, message: error.message, error }
      }
      case Row.NoLeg: {
        const error = this.#legRefusal ?? failure('unreachable', text)
        return { reason, message: error.message, error }
      }
      default:
        return { reason, message: text, error: failure(reason as 'code-mismatch' | 'tampered' | 'protocol', text) }
    }
  }

  /** Ends everything: the page permits no leg, or the module itself failed, which is a bug. */
  #fail(thrown: unknown): void {
    const error = thrown instanceof PeerSoxError ? thrown : new PeerSoxError('protocol', String(thrown), { cause: thrown })
    this.#links.stop()
    this.#end({ reason: 'failed' satisfies CloseReason, message: error.message, error })
  }

  #end(end: End): void {
    if (this.#ended) return
    this.#ended = true
    this.#isDirect = false
    clearTimeout(this.#timer)
    this.#calls.abort()
    this.#wake.stop()
    this.#later((to) => to.ended(end))
  }
}

function orNull(number: number): number | null {
  return number < 0 ? null : number
}

const HAS_WEBRTC = () => typeof RTCPeerConnection === 'function'

/** What a relay is told of this software. */
const AGENT = `peersox-web/${VERSION}`

/** How often a crowded WebSocket is looked at, in milliseconds: it tells nobody when it has room. */
const LOOK_AGAIN = 8

/** Milliseconds; a timer of more rings at once. */
const LONGEST_TIMER = 2 ** 31 - 1
