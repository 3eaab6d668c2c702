/**
 * The pairing that a client is in, from its first connection to the end.
 *
 *     shell ─ attached, secured, connected, path, … ─► state ─► events of the client
 *       │                                                   └─► whoever waits for it
 *       └──── opened, readable, reset, … ─► the channels
 *
 * A client has one session. The session begins again with each pairing: with another shell, and without channels.
 *
 * @internal
 * @packageDocumentation
 */

import { Told } from '#tables'
import { fromBase64, fromHex, toBase64 } from '../net/bytes.js'
import type { Control } from '../net/control.js'
import type { Engine } from '../net/engine.js'
import { abortable } from '../net/failure.js'
import { candidates } from '../net/rtcstats.js'
import { type LegCause, Shell, type ShellListener } from '../net/shell.js'
import { Channel } from './channel.js'
import type { End } from './end.js'
import { ClosedError, type PeerSoxError, UpgradeError } from './errors.js'
import type { ClientEvents } from './events.js'
import { GUESSES } from './guesses.js'
import type { ClientOptions, Pairing, PathKind, Priority, Stats, Status } from './types.js'
import { Waiters } from './waiters.js'

/** What a session tells its client. */
export interface Host {
  emit<K extends keyof ClientEvents & string>(type: K, value: ClientEvents[K]): void
  /** Another connection begins. */
  begun(): void
  /** The other side opened a channel. */
  opened(channel: Channel): void
  /** A send failed; false if nobody hears of it. */
  report(error: PeerSoxError | TypeError): boolean
  /** The connection is over, by an error or, with null, in good order. */
  ended(error: Error | null): void
}

/** See the module. Only the shell calls the methods of {@link ShellListener}. */
export class Session implements ShellListener {
  readonly whenConnected = new Waiters()
  readonly whenSecured = new Waiters()
  readonly whenDirect = new Waiters()
  readonly whenPong = new Waiters<number>()
  readonly whenEnded = new Waiters()
  readonly #whenAttached = new Waiters()
  readonly #control: Control
  readonly #options: ClientOptions
  readonly #host: Host
  readonly #channels = new Map<number, Channel>()
  /** The last one that was made; it may have ended. */
  #shell: Shell | null = null
  /** How the last shell ended, if it has. */
  #end: End | null = null
  #pairing: Pairing | null = null
  #attached = false
  #connected = false
  #everConnected = false
  #online = false
  #restarted = false
  #grace: number | null = null
  #path: PathKind | null = null
  #toldPath: PathKind | null = null
  #pathRtt: number | null = null
  #phrase: string | null = null
  #peerName: string | null = null
  #relayedRtt: number | null = null
  #expired = false
  /** While the code waits for somebody to use it. */
  #watch: AbortController | null = null

  constructor(control: Control, options: ClientOptions, host: Host) {
    this.#control = control
    this.#options = options
    this.#host = host
  }

  /** Makes the shell of a pairing. */
  begin(engine: Engine, pairing: Pairing): void {
    GUESSES.check(pairing)
    const options = this.#options
    this.#pairing = { ...pairing }
    this.#attached = this.#connected = this.#everConnected = this.#online = this.#restarted = this.#expired = false
    this.#path = this.#toldPath = this.#phrase = this.#peerName = this.#relayedRtt = this.#grace = null
    this.#end = null
    this.#channels.clear()
    this.#shell = new Shell(
      engine,
      {
        id: fromHex(pairing.id),
        initiator: pairing.role === 'initiator',
        code: pairing.code,
        secret: pairing.secret === undefined ? undefined : fromBase64(pairing.secret),
        name: options.name,
        webrtc: options.webrtc ?? 'auto',
        transport: options.transport ?? 'auto',
        patience: patience(options.patienceMs),
        iceServers: options.iceServers,
        icePolicy: options.iceTransportPolicy,
        maxMessage: options.maxMessageBytes ?? MAX_MESSAGE,
        open: (unreached, signal) => this.#control.openSession(pairing, unreached, signal),
      },
      this,
    )
    this.#host.begun()
    if (pairing.role === 'initiator' && !pairing.secret) this.#watchCode(pairing)
  }

  /** Whether there is a connection that has not ended. */
  get isOpen(): boolean {
    return this.#shell !== null && this.#end === null
  }

  /** Opens a channel. Throws if there is no connection, for a bad name, and for too many channels. */
  open(name: string, priority: Priority): Channel {
    const handle = this.#active().open(name, PRIORITIES.indexOf(priority))
    return this.#add(handle, name, priority, true)
  }

  /** Looks for a direct path now. Gives null if that is under way, else for people why it is not. */
  upgrade(): string | null {
    const shell = this.#shell
    if (!shell || shell.upgrade()) return null
    return shell.stats().whyRelayed ?? 'the connection is closed'
  }

  /** Asks the other peer for a sign of life, which settles {@link Session.whenPong}. Throws if there is no connection. */
  ping(): void {
    this.#active().ping()
  }

  /** Says goodbye, and ends within so many milliseconds. */
  close(patience: number): void {
    if (this.isOpen) this.#shell!.close(patience)
  }

  /**
   * Gives up a code that nobody has used, before the connection is closed: the server forgets one that was shown; one that
   * was typed may be typed again on this page, and this connection is over. Resolves when the server knows; null if it
   * need not.
   */
  abandon(): Promise<void> | null {
    const pairing = this.#pairing
    if (!this.isOpen || !pairing?.code || pairing.secret) return null
    if (pairing.role === 'joiner') {
      if (this.#shell!.everAttached) return null
      this.#control.leave(pairing.code, Promise.resolve(pairing))
      this.#shell!.quit()
      return null
    }
    return this.#unwatch() ? this.#control.revoke(pairing, {}).catch(() => {}) : null
  }

  #active(): Shell {
    if (!this.isOpen) throw this.#end ? new ClosedError(this.#end.reason, this.#end.message) : this.#whyNot()
    return this.#shell!
  }

  /** Why there is no connection. */
  #whyNot(): Error {
    const end = this.#end
    if (!end) return new ClosedError('closed', 'there is no connection: pair or connect first')
    return end.error ?? new ClosedError(end.reason, end.message)
  }

  #add(handle: number, name: string, priority: Priority, isMine: boolean): Channel {
    const shell = this.#shell!
    const channel = new Channel(shell, handle, name, priority, isMine, {
      maxMessage: Math.max(this.#options.maxMessageBytes ?? 0, MAX_MESSAGE),
      forget: () => {
        // A later connection may use the same handle.
        if (this.#channels.get(handle) === channel) this.#channels.delete(handle)
        shell.forget(handle)
      },
      report: (error) => this.#host.report(error),
    })
    this.#channels.set(handle, channel)
    return channel
  }

  get pairing(): Pairing | null {
    return this.#pairing
  }

  get isConnected(): boolean {
    return this.#connected
  }

  get everConnected(): boolean {
    return this.#everConnected
  }

  /** The way that messages take, or would take. */
  get pathNow(): PathKind | null {
    return this.#path
  }

  get phrase(): string | null {
    return this.#phrase
  }

  get peerName(): string | null {
    return this.#peerName
  }

  get status(): Status {
    const over = this.#end !== null
    const peer = this.#connected
      ? 'connected'
      : over
        ? 'gone'
        : this.#everConnected
          ? 'away'
          : this.#shell
            ? 'waiting'
            : 'none'
    return {
      server: over ? 'closed' : this.#attached ? 'connected' : this.#shell ? 'connecting' : 'idle',
      peer,
      path: this.#connected ? this.#path : null,
      pairingId: this.#pairing?.id ?? null,
      role: this.#pairing?.role ?? null,
      isInitiator: this.#pairing?.role === 'initiator',
    }
  }

  async stats(): Promise<Stats> {
    const shell = this.isOpen ? this.#shell : null
    const raw = shell?.stats()
    const report = await shell?.directStats()
    if (this.#connected && this.#path === 'relay') shell?.ping()
    return {
      path: this.#connected ? this.#path : null,
      rtt: this.#path === 'webrtc' ? (raw?.directRtt ?? this.#pathRtt) : this.#relayedRtt,
      relayRtt: raw?.relayRtt ?? null,
      transport: raw?.transport ?? null,
      receiveRate: raw?.receiveRate ?? 0,
      sendRate: raw?.sendRate ?? 0,
      bytesReceived: raw?.bytesReceived ?? 0,
      bytesSent: raw?.bytesSent ?? 0,
      replayed: raw?.replayed ?? 0,
      duplicates: raw?.duplicates ?? 0,
      datagramsDropped: raw?.datagramsDropped ?? 0,
      webrtc: report && this.#path === 'webrtc' ? candidates(report) : null,
      whyRelayed: raw?.whyRelayed ?? null,
    }
  }

  /** Resolves when the server is connected. An abort before that ends the pairing's connection. */
  attachedTo(pairing: Pairing, signal?: AbortSignal): Promise<Status> {
    if (this.#attached) return Promise.resolve(this.status)
    const attached = this.wait(this.#whenAttached, signal).then(() => this.status)
    signal?.addEventListener(
      'abort',
      () => {
        // Whoever closes the client says goodbye by itself.
        const isClosed = signal.reason instanceof ClosedError
        if (isClosed || this.#attached || this.#pairing?.id !== pairing.id) return
        if (pairing.role === 'joiner') void this.abandon()
        this.close(0)
      },
      { once: true },
    )
    return attached
  }

  /** Waits with others, unless there is no connection to wait for. */
  wait<T>(waiters: Waiters<T>, signal?: AbortSignal): Promise<T> {
    const promise = this.isOpen ? waiters.next() : Promise.reject<T>(this.#whyNot())
    promise.catch(() => {})
    return abortable(promise, signal)
  }

  attached(resumed: boolean): void {
    this.#control.noteAnswer()
    this.#attached = true
    this.#host.emit('server.connected', { transport: 'websocket', resumed })
    this.#whenAttached.settle()
  }

  legLost(cause: LegCause, reason: string, code: number | null, retryIn: number | null): void {
    this.#attached = this.#online = false
    this.#grace = null
    this.#host.emit('server.closed', { cause, reason, code, retryIn })
    if (cause === 'peer-lost' && !this.#connected) this.#host.emit('peer.gone', { reason: 'lost' })
  }

  peerOnline(): void {
    this.#online = true
    // Whoever is there has used the code.
    if (this.#unwatch()) this.#host.emit('pairing.joined', { pairingId: this.#pairing!.id })
  }

  codeUsed(): void {
    const pairing = this.#pairing!
    GUESSES.used(pairing)
    // Whoever stores it now stores nothing that could be tried again.
    const { code: _code, codeExpiresAt: _until, ...rest } = pairing
    this.#pairing = rest
    this.#host.emit('code.used', { pairingId: pairing.id })
  }

  peerAway(grace: number): void {
    this.#online = false
    this.#grace = grace
  }

  secured(phrase: string, name: string): void {
    const secret = this.#shell?.secret()
    if (this.#pairing && secret !== undefined) {
      this.#pairing = { ...this.#pairing, secret: toBase64(secret) }
      GUESSES.right(this.#pairing.id)
    }
    this.#phrase = phrase
    this.#peerName = name
    this.#host.emit('peer.secured', { phrase, name })
    this.whenSecured.settle()
  }

  connected(): void {
    if (this.#connected && !this.#restarted) return
    const restarted = this.#restarted
    const first = !this.#everConnected
    this.#connected = this.#everConnected = true
    this.#restarted = false
    const path = this.#path ?? 'relay'
    if (first) {
      this.#host.emit('peer.connected', { path, phrase: this.#phrase ?? '', name: this.#peerName ?? '' })
    } else {
      this.#host.emit('peer.back', { path, restarted })
    }
    this.#tellPath()
    this.whenConnected.settle()
  }

  restarted(least: number): void {
    this.#restarted = true
    for (const [handle, channel] of [...this.#channels]) if (handle < least) channel.wasReset(null)
  }

  path(path: number, rtt: number | null): void {
    this.#path = path === 0 ? null : path === 1 ? 'relay' : 'webrtc'
    this.#pathRtt = rtt
    if (this.#path === null && this.#connected) {
      this.#connected = false
      this.#host.emit('peer.away', { graceMs: this.#online ? null : this.#grace })
    }
    if (this.#everConnected) this.#tellPath()
    if (this.#path === 'webrtc') this.whenDirect.settle()
  }

  channel(told: Told, handle: number, value: number, name: string): void {
    if (told === Told.Opened) {
      return this.#host.opened(this.#add(handle, name, PRIORITIES[value] ?? 'normal', false))
    }
    const channel = this.#channels.get(handle)
    switch (told) {
      case Told.Readable:
        return channel?.readReady()
      case Told.Datagram:
        return channel?.datagramReady()
      case Told.Writable:
        return channel?.writeReady()
      case Told.Finished:
        return channel?.ended()
      case Told.Flushed:
        return channel?.flushed()
      case Told.Reset:
        return channel?.wasReset(value)
    }
  }

  pong(rtt: number): void {
    this.#relayedRtt = rtt
    this.whenPong.settle(rtt)
  }

  dialFailed(why: string): void {
    this.whenDirect.fail(new UpgradeError('upgrade-failed', why))
  }

  ended(how: End): void {
    const end = { ...how, message: how.error?.message ?? how.message }
    this.#end = end
    for (const channel of [...this.#channels.values()]) channel.connectionEnded(end)
    this.#unwatch()
    // Whatever the server says of the code: one that was tried ends as the engine says.
    const isExpired = this.#expired && end.reason === 'closed'
    const reason = isExpired ? 'expired' : end.reason
    const message = isExpired ? 'nobody used the code in time' : end.message
    const wasThere = this.#everConnected
    this.#attached = this.#connected = false
    this.#path = null
    this.#tellPath()
    const error = end.error ?? new ClosedError(reason, message)
    for (const waiters of [this.#whenAttached, this.whenConnected, this.whenSecured, this.whenDirect, this.whenPong]) {
      waiters.fail(error)
    }
    this.#host.ended(end.error)
    if (wasThere && reason !== 'closed') this.#host.emit('peer.gone', { reason })
    this.#host.emit('closed', { reason, message, error: end.error })
    this.whenEnded.settle()
  }

  #tellPath(): void {
    if (this.#toldPath === this.#path) return
    const previous = this.#toldPath
    this.#toldPath = this.#path
    this.#host.emit('path.changed', { path: this.#path, previous, rtt: this.#pathRtt })
  }

  /** The code does not wait any more; false if it did not before. */
  #unwatch(): boolean {
    const watch = this.#watch
    this.#watch = null
    watch?.abort()
    return watch !== null
  }

  /** Tells when the code is used, or is not in time. */
  #watchCode(pairing: Pairing): void {
    const watch = new AbortController()
    this.#watch = watch
    void this.#control.watchCode(pairing, watch.signal, (outcome) => {
      this.#unwatch()
      if (outcome === 'joined') {
        this.#host.emit('pairing.joined', { pairingId: pairing.id })
      } else {
        this.#expired = true
        this.#host.emit('pairing.expired', { pairingId: pairing.id })
        this.close(0)
      }
    })
  }
}

/** Bytes: the longest message that every peer takes, unless it says otherwise. */
const MAX_MESSAGE = 64 << 20

/** The names of the priorities in the order of their numbers. */
const PRIORITIES: readonly Priority[] = ['interactive', 'normal', 'bulk']

/** What the engine takes: a finite time, or none. */
function patience(millis: number | undefined): number | undefined {
  if (millis === undefined || millis === Infinity) return undefined
  if (!(millis >= 0)) throw new TypeError('`patienceMs` is a number of milliseconds, or Infinity')
  return millis
}
