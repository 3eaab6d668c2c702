/**
 * The machine of the module and everything that it drives, one call at a time.
 *
 *     call or event ─► Shell.with ─► act ─► settle: events, frames, timer
 *                                              │
 *                       listener ◄── what happened, in order
 *
 * The listener is told when nothing is under way, so that it may call again; what it causes is told after what it is
 * being told.
 *
 * @internal
 * @packageDocumentation
 */

import { Told } from '#tables'
import { Signal } from '#wire'
import { Assembler } from './assembler.js'
import { type DialMode, Direct, type DirectOwner } from './direct.js'
import type { Engine } from './engine.js'
import type { End } from '../api/end.js'
import type { PeerSoxError } from '../api/errors.js'
import type { CloseReason } from '../api/types.js'
import { toText, utf8 } from './door.js'
import type { Machine } from './machine.js'
import { Meter } from './meter.js'
import { decode } from './protobuf.js'
import { AGENT, type OpenSession, Relay, type RelayListener, type RelayOwner } from './relay.js'

/** What a peer is made of. */
export interface ShellOptions {
  id: Uint8Array
  initiator: boolean
  code?: string | undefined
  secret?: Uint8Array | undefined
  name?: string | undefined
  webrtc: DialMode
  iceServers?: RTCIceServer[] | undefined
  icePolicy?: RTCIceTransportPolicy | undefined
  maxMessage: number
  open: OpenSession
}

/** What the owner of a shell hears of, one after the other, never while it calls the shell. */
export interface ShellListener extends RelayListener {
  peerOnline(): void
  secured(phrase: string, name: string): void
  connected(): void
  /** The other peer is another process: every channel with a handle below `least` is gone with the old one. */
  restarted(least: number): void
  /** Messages take this path: 1 the relay, 2 a direct one, 0 none. */
  path(path: 0 | 1 | 2, rtt: number | null): void
  /** Something happened to a channel: what, and with which number and name, {@link Told} says. */
  channel(told: Told, handle: number, value: number, name: string): void
  pong(rtt: number): void
  dialFailed(why: string): void
  /** It is over; nothing follows. */
  ended(end: End): void
}

/** One endpoint of a pairing at work. */
export class Shell implements RelayOwner, DirectOwner {
  readonly direct: Direct
  readonly received = new Meter()
  readonly sent = new Meter()
  /** Datagrams that the relay dropped on their way here. */
  dropped = 0
  readonly #machine: Machine
  readonly #assembler: Assembler
  readonly #relay: Relay
  readonly #listener: ShellListener
  /** The relay as a path: while the other peer is attached, too. */
  #path: number | null = null
  /** The latest relay path. What the other peer sent before it was lost still comes over it. */
  #latest: number | null = null
  /** The path that records take. */
  #selected: number | null = null
  /** 1 relay, 2 direct, while a path is there. */
  readonly #kinds = new Map<number, 1 | 2>()
  #untold: ((to: ShellListener) => void)[] = []
  #isActing = false
  #isTelling = false
  /** Nothing was done since the machine was looked after. */
  #isSettled = true
  #timer: ReturnType<typeof setTimeout> | undefined
  #timerAt = Number.POSITIVE_INFINITY
  /** When to give up a farewell that nobody answers. */
  #farewell = Number.POSITIVE_INFINITY
  #ended = false

  /** Makes a peer, and begins to attach to the relay. Throws if the pairing is none. */
  constructor(engine: Engine, options: ShellOptions, listener: ShellListener) {
    const { id, initiator, secret, code, name, maxMessage, open } = options
    this.#listener = listener
    this.#machine = new engine.Machine(id, initiator, secret, code, name ?? AGENT)
    this.#assembler = new Assembler(this.#machine, maxMessage)
    this.direct = new Direct(this, initiator, options.webrtc, options.iceServers ?? [], options.icePolicy, open)
    this.#relay = new Relay(this, open)
    this.with(() => this.#relay.attach())
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

  /** The listener is told when nothing is under way. */
  later(tell: (to: ShellListener) => void): void {
    this.#untold.push(tell)
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
    return this.with(() => this.direct.upgrade())
  }

  /** The page is visible again, or online: mend what may be broken, now. */
  wake(): void {
    this.with(() => {
      if (this.#ended) return
      this.#relay.wake(performance.now())
      this.direct.mend()
    })
  }

  /** Numbers for `stats()`. */
  stats() {
    const now = performance.now()
    const { replayed, duplicates, dropped } = this.#machine.counts()
    const isDirect = this.#selected !== null && this.#kinds.get(this.#selected) === 2
    return {
      directRtt: isDirect ? this.#machine.rtt(this.#selected!) : undefined,
      relayRtt: this.#relay.rtt,
      receiveRate: this.received.rate(now),
      sendRate: this.sent.rate(now),
      bytesReceived: this.received.total,
      bytesSent: this.sent.total,
      replayed,
      duplicates,
      datagramsDropped: dropped + this.dropped,
      whyRelayed: isDirect ? undefined : this.direct.why,
    }
  }

  /** Says goodbye; `ended` follows within so many milliseconds. */
  close(patience: number): void {
    this.with(() => {
      if (this.#ended || this.#farewell < Number.POSITIVE_INFINITY) return
      this.#farewell = performance.now() + patience
      this.#machine.close()
      // Nobody is there to say goodbye to.
      if (this.#selected === null) this.#endOurs()
    })
  }

  /** It is over. */
  end(reason: CloseReason, message: string, error: PeerSoxError | null = null): void {
    if (this.#ended) return
    this.#ended = true
    try {
      // A peer that found the codes to differ still tells the other one.
      this.#transmit(performance.now())
    } catch {
      // A machine that failed has nothing to say.
    }
    clearTimeout(this.#timer)
    this.direct.stop()
    this.#relay.stop()
    this.#path = this.#latest = this.#selected = null
    this.later((to) => to.ended({ reason, message, error }))
  }

  /** The other peer is attached to the relay: a path begins. */
  relayUp(): void {
    this.relayDown()
    this.#path = this.#latest = this.pathUp(false)
    this.direct.relayIsUp()
    this.later((to) => to.peerOnline())
  }

  relayDown(): void {
    if (this.#path !== null) this.pathDown(this.#path)
    this.#path = null
  }

  /** A frame from the relay, for the machine. */
  takeRelayed(frame: Uint8Array): void {
    if (this.#latest !== null) this.take(this.#latest, frame)
  }

  /** A frame from the other peer. */
  take(path: number, frame: Uint8Array): void {
    try {
      this.#machine.take(path, frame)
    } catch (thrown) {
      const error = thrown as PeerSoxError
      // A module that fails itself gives no code.
      this.end((error.cause ?? error.code ?? 'failed') as CloseReason, error.message, error)
    }
  }

  pathUp(isDirect: boolean): number {
    const path = this.#machine.pathUp(isDirect)
    this.#kinds.set(path, isDirect ? 2 : 1)
    return path
  }

  pathDown(path: number): void {
    this.#kinds.delete(path)
    this.#machine.pathDown(path)
  }

  dialFailed(why: string): void {
    this.#machine.dialFailed()
    this.later((to) => to.dialFailed(why))
  }

  /** Whether a signal can be sent. */
  get canSignal(): boolean {
    return this.#path !== null && this.#machine.secured()
  }

  sendSignal(signal: Uint8Array): void {
    this.#machine.signal(signal)
  }

  get isOver(): boolean {
    return this.#ended
  }

  #settleAll(): void {
    while (!this.#isSettled) {
      this.#isSettled = this.#isActing = true
      try {
        this.#settle()
      } finally {
        this.#isActing = false
        this.#tell()
      }
    }
  }

  #tell(): void {
    this.#isTelling = true
    try {
      for (let tell = this.#untold.shift(); tell; tell = this.#untold.shift()) tell(this.#listener)
    } finally {
      this.#isTelling = false
    }
  }

  #endOurs(): void {
    this.end('closed', 'this side closed the connection')
  }

  #ring(): void {
    this.#timerAt = Number.POSITIVE_INFINITY
    this.with(() => {
      const now = performance.now()
      this.#machine.ring()
      this.#relay.ring(now)
      if (this.#farewell <= now) this.#endOurs()
    })
  }

  /** Handles what the machine has to tell, sends what it has to send, and sets the timer. */
  #settle(): void {
    const now = performance.now()
    while (!this.#ended) {
      let any = false
      for (let news = this.#machine.poll(); news; news = this.#machine.poll()) {
        this.#hear(news)
        // Channels wait for their listeners; what else is heard may be a reason for more.
        if (news.told < Told.Opened || news.told > Told.Reset) any = true
      }
      this.direct.ring(now)
      if (!this.#transmit(now) && !any) break
    }
    if (this.#ended) return
    const isCrowded = this.#path !== null && !this.#relay.sink
    const at = Math.min(
      this.#machine.timeout(),
      this.#farewell,
      this.#relay.deadline,
      this.direct.deadline,
      isCrowded ? now + RETRY_WHEN_CROWDED : Number.POSITIVE_INFINITY,
    )
    // It may ring a little early, never late.
    if (this.#timerAt <= at) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    // A timer beyond 2^31 ms rings at once; a minute early costs nothing.
    this.#timer = setTimeout(() => this.#ring(), Math.ceil(Math.min(Math.max(at - now, 0), 60_000)))
  }

  #hear({ told, a, b, bytes }: News): void {
    switch (told) {
      case Told.Secured: {
        const [phrase, ...name] = toText(bytes).split('\n')
        return this.later((to) => to.secured(phrase!, name.join('\n')))
      }
      case Told.Connected:
        return this.later((to) => to.connected())
      case Told.Restarted:
        this.later((to) => to.restarted(a))
        return this.direct.lost('the other peer was restarted')
      case Told.Closed:
        if (this.#farewell < Number.POSITIVE_INFINITY) return this.#endOurs()
        return this.end('peer-closed', 'the other peer is done')
      case Told.Path: {
        this.#selected = a < 0 ? null : a
        if (a < 0) this.#relay.seek()
        const kind = this.#kinds.get(a) ?? 0
        const rtt = kind === 0 ? undefined : this.#machine.rtt(a)
        return this.later((to) => to.path(kind, rtt ?? null))
      }
      case Told.Dial:
        return this.direct.dial()
      case Told.HangUp:
        this.#kinds.delete(a)
        if (a !== this.#path) return this.direct.silent(a)
        this.#path = null
        return this.#relay.lost(null, 'what arrived over it was altered under way')
      case Told.Pong:
        return this.later((to) => to.pong(a))
      case Told.Signal: {
        const signal = decode(Signal, bytes)
        if (signal) this.direct.takeSignal(signal)
        return
      }
      default: {
        const name = told === Told.Opened ? toText(bytes) : ''
        return this.later((to) => to.channel(told, a, b, name))
      }
    }
  }

  /** Hands frames to every path with room; true if there were any. */
  #transmit(now: number): boolean {
    let any = false
    const send = (path: number, sink: { send(bytes: Uint8Array<ArrayBuffer>): void }): boolean => {
      const frame = this.#machine.transmit(path)
      if (!frame) return false
      sink.send(frame)
      this.sent.add(frame.length, now)
      return (any = true)
    }
    for (;;) {
      const sink = this.#path === null ? null : this.#relay.sink
      if (!sink || !send(this.#path!, sink)) break
    }
    try {
      for (;;) {
        const sink = this.direct.sink
        if (!sink || !send(this.direct.path!, sink)) break
      }
    } catch {
      this.direct.lost('the data channel was closed')
      any = true
    }
    return any
  }
}

type News = NonNullable<ReturnType<Machine['poll']>>

/** How often a crowded WebSocket is looked at, in milliseconds; what comes from the relay is a reason, too. */
const RETRY_WHEN_CROWDED = 8
