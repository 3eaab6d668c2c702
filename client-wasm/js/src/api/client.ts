/**
 * Two devices meet by a code and talk: over the relay at once, directly as soon as that works.
 *
 * ```ts
 * import { PeerSoxClient } from 'peersox'
 *
 * const peersox = new PeerSoxClient({ url: 'https://example.org' })
 * const { code } = await peersox.initPairing()          // show it; the other device: peersox.pair(code)
 * peersox.on('peer.connected', () => peersox.send('hello'))
 * peersox.onString = (text) => console.log(text)
 * ```
 *
 * @packageDocumentation
 */

import type { Channel } from './channel.js'
import { Control, nameplateOf } from '../net/control.js'
import { Emitter } from './emitter.js'
import { type Engine, engineNow, loadEngine } from '../net/engine.js'
import { BusyError, PeerSoxError, UpgradeError } from './errors.js'
import { abortable, throwIfAborted } from '../net/failure.js'
import { type Kind, MESSAGE_CHANNEL, Messages } from './messages.js'
import { GUESSES } from './guesses.js'
import { loadTransfers } from '../transfer/ondemand.js'
import type { OutgoingTransfer } from '../transfer/outgoing.js'
import { Pairings } from './pairings.js'
import { Session } from './session.js'
import type { Sendable } from '../transfer/sources.js'
import { SUPPORTS } from './supports.js'
import { busy, Turn } from './turn.js'
import type { ClientEvents } from './events.js'
import type {
  Abortable,
  ClientOptions,
  CodeOptions,
  Data,
  NewPairing,
  Pairing,
  Priority,
  Stats,
  Status,
  Supports,
} from './types.js'

/** Datagrams of a client: fast, unordered, unreliable. */
export interface Datagrams {
  /** The longest in bytes. */
  readonly maxSize: number
  /** Sends one now or never. Returns whether it was sent. */
  send(data: ArrayBuffer | ArrayBufferView): boolean
  /** Those of the other peer; the oldest are dropped when nobody reads. */
  readonly readable: ReadableStream<Uint8Array>
  /** Those to the other peer. */
  readonly writable: WritableStream<ArrayBuffer | ArrayBufferView>
}

/** One endpoint of a pairing. One client is in one pairing at a time; make another client for another. */
export class PeerSoxClient extends Emitter<ClientEvents> implements AsyncIterable<string | ArrayBuffer> {
  /** What this environment can do. */
  static readonly SUPPORTS: Supports = SUPPORTS

  /** Whether a code is well-formed, and the form in which it should be shown; asks nobody. The module has to be {@link PeerSoxClient.ready}. */
  static parseCode(code: string): { code: string; nameplate: string; words: number } {
    const engine = engineNow()
    if (!engine) throw new BusyError('busy', 'the WebAssembly module is still being loaded: await `ready`')
    const parsed = engine.parseCode(code)
    return { code: parsed, nameplate: nameplateOf(parsed), words: parsed.split('-').length - 1 }
  }

  /** Where the server is. */
  readonly url: string
  /** Resolves when the WebAssembly module is there. Nobody has to wait for it. */
  readonly ready: Promise<void>
  /** Datagrams: fast, unordered, unreliable. */
  readonly datagrams: Datagrams

  readonly #options: ClientOptions
  readonly #pairings: Pairings
  readonly #messages: Messages
  readonly #engine: Promise<Engine>
  readonly #control: Control
  readonly #session: Session
  readonly #turn = new Turn()
  /** Settles when the farewell under way is over; null if there is none. */
  #closing: Promise<unknown> | null = null
  #onBinary: ((data: ArrayBuffer) => void) | null = null
  #onString: ((data: string) => void) | null = null

  /** Makes a client. Nothing is sent before the first call. */
  constructor(options: ClientOptions = {}) {
    super()
    this.#options = options
    const base = options.url ?? globalThis.location?.origin
    if (base === undefined) throw new TypeError('a client needs the `url` of its server')
    const url = new URL(base, globalThis.location?.href)
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new TypeError(`${url} is not a server address`)
    this.url = (url.origin + url.pathname).replace(/\/+$/, '')
    this.#pairings = new Pairings(options.storage, this.url)
    this.#engine = loadEngine(options.wasm)
    this.ready = this.#engine.then(() => {})
    this.ready.catch(() => {})
    this.#control = new Control(this.url, this.#engine, () => this.emit('server.ready', { url: this.url }), options.token)
    this.#session = new Session(this.#control, options, {
      emit: (type, value) => this.emit(type, value),
      begun: () => this.#messages.begin(),
      opened: (channel) => this.#onOpened(channel),
      report: (error) => this.#report(error),
      ended: (error) => this.#messages.ended(error),
    })
    this.#messages = new Messages(
      (name, priority) => this.#session.open(name, priority),
      (kind) => this.#hears(kind),
      (message) => this.#hear(message),
      (datagram) => this.emit('datagram', datagram),
      () => this.#report(new BusyError('busy', STUCK)) || console.warn(STUCK),
    )
    const messages = this.#messages
    this.datagrams = {
      get maxSize() {
        return messages.out().maxDatagramSize
      },
      get readable() {
        return messages.datagrams.readable
      },
      get writable() {
        return messages.datagramsWritable
      },
      send: (data) => messages.out().sendDatagram(data),
    }
  }

  /** Takes each binary message. */
  get onBinary(): ((data: ArrayBuffer) => void) | null {
    return this.#onBinary
  }
  set onBinary(listener: ((data: ArrayBuffer) => void) | null) {
    this.#onBinary = listener
    this.#messages.intake.readySoon()
  }

  /** Takes each text message, whatever it says. */
  get onString(): ((data: string) => void) | null {
    return this.#onString
  }
  set onString(listener: ((data: string) => void) | null) {
    this.#onString = listener
    this.#messages.intake.readySoon()
  }

  /**
   * The pairing in use, with the secret as soon as there is one. Who stores it by other means than the option `storage`
   * calls {@link PeerSoxClient.storePairing}, too: without that the server forgets it some minutes after its last use.
   */
  get pairing(): Pairing | null {
    const pairing = this.#session.pairing
    return pairing && { ...pairing }
  }

  /** How things stand. */
  get status(): Status {
    return this.#session.status
  }

  /** Whether messages flow. */
  isConnected(): boolean {
    return this.#session.isConnected
  }

  /** Three words that are the same on both devices if nobody is in between; `null` before the peers are sure of each other. */
  get phrase(): string | null {
    return this.#session.phrase
  }

  /** The name that the other peer gives itself. */
  get peerName(): string | null {
    return this.#session.peerName
  }

  /**
   * Makes a code and waits for the other device in the background. Resolves as soon as there is a code to show.
   *
   * `initPairing({ words: 0 })` makes a code of digits only. Rejects with a {@link RateLimitedError} when three codes of this
   * page were tried with wrong words within an hour: a server that guesses is not to be given more.
   */
  initPairing(options: CodeOptions = {}): Promise<NewPairing> {
    return this.#exclusively(options.signal, async (signal) => {
      GUESSES.checkShowing()
      const pairing = await this.#control.create({ ...options, signal })
      try {
        await this.#begin(pairing, signal)
      } catch (error) {
        // Nobody gets to see it.
        this.#control.revoke(pairing, {}).catch(() => {})
        throw error
      }
      return pairing
    })
  }

  /** Joins the device that shows `code`. Resolves when the server is connected; `peer.connected` follows. */
  pair(code: string, options: Abortable = {}): Promise<Status> {
    return this.#exclusively(options.signal, async (signal) => {
      const joined = await this.#control.join(code, { signal })
      await this.#begin(joined, signal)
      return this.#session.attachedTo(joined, signal)
    })
  }

  /** The first half of {@link PeerSoxClient.initPairing}: makes a code, connects nothing. */
  createPairing(options: CodeOptions = {}): Promise<NewPairing> {
    return this.#turn.run(options.signal, (signal) => this.#control.create({ ...options, signal }))
  }

  /** The first half of {@link PeerSoxClient.pair}: redeems the code, connects nothing. */
  joinPairing(code: string, options: Abortable = {}): Promise<Pairing> {
    return this.#turn.run(options.signal, (signal) => this.#control.join(code, { signal }))
  }

  /**
   * Connects by a pairing that was created, joined, or restored. Resolves when the server is connected.
   *
   * A code works once: a pairing whose code was tried and that has no secret is refused with a {@link PairingInvalidError}.
   */
  connect(pairing: Pairing, options: Abortable = {}): Promise<Status> {
    if (pairing.server.replace(/\/+$/, '') !== this.url) {
      return Promise.reject(new TypeError(`this pairing is of ${pairing.server}, not of ${this.url}`))
    }
    return this.#exclusively(options.signal, async (signal) => {
      await this.#begin(pairing, signal)
      return this.#session.attachedTo(pairing, signal)
    })
  }

  /** Resolves when messages flow; at once if they do already. A call that is making the pairing is waited for. */
  connected(options: Abortable = {}): Promise<void> {
    if (this.#session.isConnected) return Promise.resolve()
    const connected = this.#turn.run(options.signal, async (signal) => {
      await abortable(Promise.resolve(this.#turn.making), signal)
      if (!this.#session.isConnected) await this.#session.wait(this.#session.whenConnected, signal)
    })
    connected.catch(() => {})
    return connected
  }

  /** Whether the server still knows a pairing. Extends its life. Rejects only if the server cannot be asked. */
  validate(pairing: Pairing, options: Abortable = {}): Promise<boolean> {
    return this.#turn.run(options.signal, (signal) => this.#control.knows(pairing, { signal }))
  }

  /**
   * Keeps a pairing, by default the one in use, so that it can be restored without a code: here, and on the server, which
   * forgets others some minutes after their last use. Resolves when it is kept: not before the two devices have met.
   */
  async storePairing(
    pairing?: Pairing | null,
    options: Abortable & { name?: string | undefined } = {},
  ): Promise<Pairing> {
    let kept = pairing?.secret ? pairing : this.#session.pairing
    if (!kept || (pairing && kept.id !== pairing.id)) throw new TypeError('there is no pairing to store')
    if (!kept.secret) {
      await this.#session.wait(this.#session.whenSecured, options.signal)
      kept = this.#session.pairing as Pairing
    }
    const name = options.name ?? kept.name
    // The server forgets in minutes what nobody asked it to keep.
    const asked = kept
    const restorableUntil = await this.#turn.run(options.signal, (signal) => this.#control.keep(asked, { signal }))
    const stored: Pairing = { ...kept, restorableUntil, storedAt: Date.now(), ...(name === undefined ? {} : { name }) }
    await this.#pairings.put(stored)
    return stored
  }

  /** The pairing that was stored last, or the one with this id, if the server still knows it; to be connected. */
  async restorePairing(options: Abortable & { id?: string | undefined } = {}): Promise<Pairing | null> {
    for (const pairing of await this.#pairings.list()) {
      if (options.id !== undefined && pairing.id !== options.id) continue
      if (await this.validate(pairing, options)) return pairing
      await this.#pairings.remove(pairing.id)
    }
    return null
  }

  /** Every pairing with this server that is stored, newest first. Asks nobody. */
  storedPairings(): Promise<Pairing[]> {
    return this.#pairings.list()
  }

  /** Forgets a pairing here, and on the server unless `revoke` is false; the other device then cannot use it any more. */
  async deletePairing(
    pairing?: Pairing | null,
    options: Abortable & { revoke?: boolean | undefined } = {},
  ): Promise<void> {
    const gone = pairing ?? this.#session.pairing
    if (!gone) return
    await this.#pairings.remove(gone.id)
    if (options.revoke === false) return
    await this.#control.revoke(gone, options)
  }

  /** Looks for a direct path now. Resolves when messages take it. Rejects with an {@link UpgradeError} that says why not. */
  async upgrade(options: Abortable = {}): Promise<void> {
    await this.connected(options)
    const session = this.#session
    if (session.pathNow === 'webrtc') return
    const direct = session.wait(session.whenDirect, options.signal)
    const why = session.upgrade()
    if (why !== null) session.whenDirect.fail(new UpgradeError('upgrade-failed', why))
    return direct
  }

  /** Sends one message; see {@link Channel.send}. */
  send(data: Data, options?: Abortable): Promise<void> {
    try {
      return this.#messages.out().send(data, options)
    } catch (error) {
      const failed = Promise.reject(error)
      const isTold = error instanceof PeerSoxError && (error.code !== 'busy' || this.#report(error))
      if (isTold) failed.catch(() => {})
      return failed
    }
  }

  /** Bytes that were sent and that the other peer has not taken. */
  get bufferedAmount(): number {
    return this.#messages.pending
  }

  /** Takes the next message; see {@link Channel.receive}. */
  receive(options?: Abortable): Promise<string | ArrayBuffer | undefined> {
    return this.#messages.intake.receive(options?.signal)
  }

  /** The messages of the other peer. */
  get readable(): ReadableStream<string | ArrayBuffer> {
    return this.#messages.intake.readable
  }

  /** Messages to the other peer. Closing it closes nothing else. */
  get writable(): WritableStream<Data> {
    return this.#messages.writable
  }

  /** Opens a channel beside that of the messages. It may be used at once; the other side hears of it by `channel`. */
  openChannel(name: string, options: { priority?: Priority | undefined } = {}): Channel {
    return this.#session.open(name, options.priority ?? 'normal')
  }

  /**
   * Offers files. Resolves when the offer is under way; {@link OutgoingTransfer.done} tells the rest.
   *
   * The first call loads what transfers need. Rejects with an {@link UnsupportedError} if that is not there.
   */
  async sendFiles(files: Iterable<Sendable>, options: Abortable = {}): Promise<OutgoingTransfer> {
    const signal = options.signal
    // The list of an input element is emptied with it.
    const given = [...files]
    const transfers = await abortable(loadTransfers(this.#options.transferWasm), signal)
    const open = async () => {
      // After a restart of the other side this waits until it is back.
      if (this.#session.everConnected) await this.connected({ signal })
      return this.#session.open(TRANSFER_CHANNEL, 'bulk')
    }
    return transfers.send(given, open, signal)
  }

  /** Measurements. */
  stats(): Promise<Stats> {
    return this.#session.stats()
  }

  /** Measures the time to the other peer and back, in milliseconds. */
  async ping(options: Abortable = {}): Promise<number> {
    this.#session.ping()
    return this.#session.wait(this.#session.whenPong, options.signal)
  }

  /**
   * Sends what is waiting, for up to five seconds, tells the other peer, and hangs up. Calling it again changes nothing.
   * The pairing stays valid, but for a code that nobody has used: the server forgets it.
   *
   * Every call that is under way rejects with a {@link ClosedError}, at whatever stage it is; {@link
   * PeerSoxClient.deletePairing} alone goes on. The client may be used again afterwards, also before this resolves.
   */
  async close(): Promise<void> {
    const session = this.#session
    const isAttached = session.isOpen
    const ended = isAttached ? session.whenEnded.next() : this.#closing
    const withdrawn = session.abandon()
    this.#turn.end()
    if (isAttached && !this.#closing) session.close(CLOSE_PATIENCE)
    const closing = Promise.all([ended, withdrawn && atMost(withdrawn, CLOSE_PATIENCE)])
    this.#closing = closing
    await closing
    if (this.#closing === closing) this.#closing = null
  }

  /** The messages of the other peer. */
  [Symbol.asyncIterator](): AsyncIterator<string | ArrayBuffer, undefined> {
    return this.#messages.intake[Symbol.asyncIterator]()
  }

  /** @internal */
  protected override listened(type: string): void {
    if (type === 'message' || type === 'string' || type === 'binary') this.#messages.intake.readySoon()
    if (type === 'datagram') this.#messages.datagrams.readySoon()
  }

  /** @internal */
  protected override emit<K extends keyof ClientEvents & string>(type: K, value: ClientEvents[K]): void {
    if (this.#options.debug && type.includes('.')) console.debug('[peersox]', type, value)
    super.emit(type, value)
  }

  #hears(kind: Kind): boolean {
    if (this.hasListener(kind)) return true
    if (kind === 'datagram') return false
    return this.hasListener('message') || (kind === 'string' ? this.#onString : this.#onBinary) !== null
  }

  /** Tells of a failure; false if nobody hears of it. */
  #report(error: PeerSoxError | TypeError): boolean {
    if (!this.hasListener('error')) return false
    this.emit('error', error)
    return true
  }

  #hear(message: string | ArrayBuffer): void {
    const own = () => {
      if (typeof message === 'string') this.#onString?.(message)
      else this.#onBinary?.(message)
    }
    try {
      own()
    } catch (error) {
      // As a listener's: it is told, and disturbs nobody else.
      setTimeout(() => {
        throw error
      })
    }
    if (typeof message === 'string') this.emit('string', message)
    else this.emit('binary', message)
    this.emit('message', message)
  }

  /** Makes a pairing while no other is made or used, until the caller's signal aborts or the client is closed. */
  #exclusively<T>(signal: AbortSignal | undefined, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#session.isOpen && !this.#closing) return Promise.reject(busy())
    return this.#turn.make(signal, async (signal) => {
      await abortable(Promise.resolve(this.#closing), signal)
      return act(signal)
    })
  }

  async #begin(pairing: Pairing, signal: AbortSignal): Promise<void> {
    const engine = await abortable(this.#engine, signal)
    throwIfAborted(signal)
    this.#session.begin(engine, pairing)
  }

  #onOpened(channel: Channel): void {
    if (channel.name === MESSAGE_CHANNEL) return this.#messages.opened(channel)
    if (channel.name === TRANSFER_CHANNEL && this.hasListener('transfer')) return void this.#offered(channel)
    // Nobody serves it: the other side is told so instead of being left to wait.
    if (!this.hasListener('channel')) return channel.reset(RESET_REFUSED)
    this.emit('channel', channel)
  }

  async #offered(channel: Channel): Promise<void> {
    try {
      // Meanwhile the offer waits in the channel.
      const transfers = await loadTransfers(this.#options.transferWasm)
      const transfer = await transfers.receive(channel, this)
      if (transfer) this.emit('transfer', transfer)
    } catch (error) {
      channel.reset(RESET_REFUSED)
      this.emit('error', error as PeerSoxError)
    }
  }
}

/** As in docs/protocol.md. */
const TRANSFER_CHANNEL = 'peersox.transfer'

const RESET_REFUSED = 1
const STUCK = 'nothing more arrives: a megabyte of messages of a kind that nobody listens to waits, text or binary'
/** Milliseconds. */
const CLOSE_PATIENCE = 5_000

/** Waits for something, but no longer than so many milliseconds. */
function atMost(promise: Promise<unknown>, millis: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, millis)
    void promise.finally(() => (clearTimeout(timer), resolve()))
  })
}
