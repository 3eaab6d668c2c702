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

import type { Server } from '#engine'
import { fromBase64, fromHex, toBase64, toHex } from './bytes.js'
import type { Channel } from './channel.js'
import { Emitter } from './emitter.js'
import { type Engine, engineNow, loadEngine } from './engine.js'
import { BusyError, ClosedError, PeerSoxError, UpgradeError } from './errors.js'
import { abortable, guard, guardAsync } from './failure.js'
import { type End, Link } from './link.js'
import { MESSAGE_CHANNEL, Messages } from './messages.js'
import { Pairings } from './pairings.js'
import { candidates } from './rtcstats.js'
import { type Sendable, sources } from './sources.js'
import { SUPPORTS } from './supports.js'
import { IncomingTransfer, OutgoingTransfer } from './transfer.js'
import type {
  Abortable,
  ClientEvents,
  ClientOptions,
  CodeOptions,
  Data,
  NewPairing,
  Pairing,
  PathKind,
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

interface Waiter {
  resolve(value?: any): void
  reject(error: unknown): void
}

/** One endpoint of a pairing. One client is in one pairing at a time; make another client for another. */
export class PeerSoxClient extends Emitter<ClientEvents> implements AsyncIterable<string | ArrayBuffer> {
  /** What this environment can do. */
  static readonly SUPPORTS: Supports = SUPPORTS

  /** Whether a code is well-formed, and the form in which it should be shown; asks nobody. The module has to be {@link PeerSoxClient.ready}. */
  static parseCode(code: string): { code: string; nameplate: string; words: number } {
    const engine = engineNow()
    if (!engine) throw new BusyError('busy', 'the WebAssembly module is still being loaded: await `ready`')
    return guard(() => engine.parseCode(code))
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
  #server: Server | undefined
  #serverReady = false
  #link: Link | null = null
  #pairing: Pairing | null = null
  #busy = false
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
  #watch: AbortController | null = null
  #onBinary: ((data: ArrayBuffer) => void) | null = null
  #onString: ((data: string) => void) | null = null
  #whenAttached: Waiter[] = []
  #whenConnected: Waiter[] = []
  #whenSecured: Waiter[] = []
  #whenDirect: Waiter[] = []
  #whenPong: Waiter[] = []
  #whenEnded: Waiter[] = []

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
    this.#messages = new Messages(
      () => this.#isHeard(),
      (message) => this.#hear(message),
      (datagram) => this.emit('datagram', datagram),
      () => this.hasListener('datagram'),
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
    this.#messages.intake.ready()
  }

  /** Takes each text message, whatever it says. */
  get onString(): ((data: string) => void) | null {
    return this.#onString
  }
  set onString(listener: ((data: string) => void) | null) {
    this.#onString = listener
    this.#messages.intake.ready()
  }

  /** The pairing in use, with the secret as soon as there is one; to be stored elsewhere, for instance. */
  get pairing(): Pairing | null {
    return this.#pairing && { ...this.#pairing }
  }

  /** How things stand. */
  get status(): Status {
    const over = this.#link?.end != null
    const peer = this.#connected
      ? 'connected'
      : over
        ? 'gone'
        : this.#everConnected
          ? 'away'
          : this.#link
            ? 'waiting'
            : 'none'
    return {
      server: over ? 'closed' : this.#attached ? 'connected' : this.#link ? 'connecting' : 'idle',
      peer,
      path: this.#connected ? this.#path : null,
      pairingId: this.#pairing?.id ?? null,
      role: this.#pairing?.role ?? null,
      isInitiator: this.#pairing?.role === 'initiator',
    }
  }

  /** Whether messages flow. */
  isConnected(): boolean {
    return this.#connected
  }

  /** Three words that are the same on both devices if nobody is in between; `null` before the peers are sure of each other. */
  get phrase(): string | null {
    return this.#phrase
  }

  /** The name that the other peer gives itself. */
  get peerName(): string | null {
    return this.#peerName
  }

  /**
   * Makes a code and waits for the other device in the background. Resolves as soon as there is a code to show.
   *
   * `initPairing({ words: 0 })` makes a code of digits only.
   */
  async initPairing(options: CodeOptions = {}): Promise<NewPairing> {
    return this.#exclusively(async () => {
      const pairing = await this.createPairing(options)
      await this.#begin(pairing)
      return pairing
    })
  }

  /** Joins the device that shows `code`. Resolves when the server is connected; `peer.connected` follows. */
  async pair(code: string, options: Abortable = {}): Promise<Status> {
    const pairing = await this.#exclusively(async () => {
      const joined = await this.joinPairing(code, options)
      await this.#begin(joined)
      return joined
    })
    return this.#whenAttachedTo(pairing, options.signal)
  }

  /** The first half of {@link PeerSoxClient.initPairing}: makes a code, connects nothing. */
  async createPairing(options: CodeOptions = {}): Promise<NewPairing> {
    const words = options.words ?? 2
    if (!Number.isInteger(words) || words < 0 || words > 16) throw new TypeError('a code has 0 to 16 words')
    const [engine, server] = await this.#control()
    const made = await this.#ask(() => server.call(CALL_CREATE, NOTHING, options.signal))
    return {
      server: this.url,
      id: toHex(made.id),
      role: 'initiator',
      credential: toBase64(made.credential),
      code: guard(() => engine.makeCode(made.nameplate, words)),
      codeExpiresAt: made.codeExpiresAt,
      restorableUntil: made.restorableUntil,
    }
  }

  /** The first half of {@link PeerSoxClient.pair}: redeems the code, connects nothing. */
  async joinPairing(code: string, options: Abortable = {}): Promise<Pairing> {
    const [engine, server] = await this.#control()
    const parsed = guard(() => engine.parseCode(String(code)))
    // The words stay here: only the digits are sent.
    const joined = await this.#ask(() =>
      server.call(CALL_JOIN, new TextEncoder().encode(parsed.nameplate), options.signal),
    )
    return {
      server: this.url,
      id: toHex(joined.id),
      role: 'joiner',
      credential: toBase64(joined.credential),
      code: parsed.code,
      restorableUntil: joined.restorableUntil,
    }
  }

  /** Connects by a pairing that was created, joined, or restored. Resolves when the server is connected. */
  async connect(pairing: Pairing, options: Abortable = {}): Promise<Status> {
    if (pairing.server.replace(/\/+$/, '') !== this.url) {
      throw new TypeError(`this pairing is of ${pairing.server}, not of ${this.url}`)
    }
    await this.#exclusively(async () => {
      options.signal?.throwIfAborted()
      await this.#begin(pairing)
    })
    return this.#whenAttachedTo(pairing, options.signal)
  }

  /** Resolves when messages flow; at once if they do already. */
  connected(options: Abortable = {}): Promise<void> {
    if (this.#connected) return Promise.resolve()
    return this.#wait(this.#whenConnected, options.signal)
  }

  /** Whether the server still knows a pairing. Extends its life. Rejects only if the server cannot be asked. */
  async validate(pairing: Pairing, options: Abortable = {}): Promise<boolean> {
    const [, server] = await this.#control()
    try {
      await this.#ask(() => server.call(CALL_STATE, fromBase64(pairing.credential), options.signal))
      return true
    } catch (error) {
      if (error instanceof PeerSoxError && error.code === 'pairing-invalid') return false
      throw error
    }
  }

  /**
   * Keeps a pairing, by default the one in use, so that it can be restored without a code. Resolves when it is
   * kept: not before the two devices have met.
   */
  async storePairing(
    pairing?: Pairing | null,
    options: Abortable & { name?: string | undefined } = {},
  ): Promise<Pairing> {
    let kept = pairing?.secret ? pairing : this.#pairing
    if (!kept || (pairing && kept.id !== pairing.id)) throw new TypeError('there is no pairing to store')
    if (!kept.secret) {
      await this.#wait(this.#whenSecured, options.signal)
      kept = this.#pairing as Pairing
    }
    const name = options.name ?? kept.name
    const stored: Pairing = { ...kept, storedAt: Date.now(), ...(name === undefined ? {} : { name }) }
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
    const gone = pairing ?? this.#pairing
    if (!gone) return
    await this.#pairings.remove(gone.id)
    if (options.revoke === false) return
    const [, server] = await this.#control()
    try {
      await this.#ask(() => server.call(CALL_DELETE, fromBase64(gone.credential), options.signal))
    } catch (error) {
      // Gone already is gone.
      if (!(error instanceof PeerSoxError && error.code === 'pairing-invalid')) throw error
    }
  }

  /** Looks for a direct path now. Resolves when messages take it. Rejects with an {@link UpgradeError} that says why not. */
  async upgrade(options: Abortable = {}): Promise<void> {
    await this.connected(options)
    if (this.#path === 'webrtc') return
    const direct = this.#wait(this.#whenDirect, options.signal)
    if (!this.#link?.peer.upgrade()) {
      this.#fail(this.#whenDirect, new UpgradeError('upgrade-failed', this.#link?.peer.stats().whyRelayed ?? 'closed'))
    }
    return direct
  }

  /** Sends one message; see {@link Channel.send}. */
  send(data: Data, options?: Abortable): Promise<void> {
    try {
      return this.#messages.out().send(data, options)
    } catch (error) {
      const failed = Promise.reject(error)
      failed.catch(() => {})
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
    return this.#active().open(name, options.priority ?? 'normal')
  }

  /** Offers files. Resolves when the offer is under way; {@link OutgoingTransfer.done} tells the rest. */
  async sendFiles(files: Iterable<Sendable>, options: Abortable = {}): Promise<OutgoingTransfer> {
    const signal = options.signal
    const list = await sources(files, signal)
    if (list.length === 0) throw new TypeError('there is nothing to send')
    const entries = list.map((it) => ({
      path: it.path,
      directory: it.blob === null,
      size: it.blob?.size,
      modified: it.modified,
    }))
    const engine = await this.#engine
    const transfer = new OutgoingTransfer(list, async () => {
      // After a restart of the other side this waits until it is back.
      if (this.#everConnected) await this.connected({ signal })
      const link = this.#active()
      const channel = link.open(TRANSFER_CHANNEL, 'bulk')
      try {
        return [channel, guard(() => new engine.Outgoing(link.peer, channel.handle, entries))]
      } catch (error) {
        channel.reset()
        throw error
      }
    })
    signal?.throwIfAborted()
    await transfer.start()
    signal?.addEventListener('abort', () => transfer.abort(signal.reason), { once: true })
    return transfer
  }

  /** Measurements. */
  async stats(): Promise<Stats> {
    const link = this.#link
    const raw = link && !link.end ? link.peer.stats() : null
    const report = link && !link.end ? await link.peer.rtcStats() : undefined
    if (this.#connected && this.#path === 'relay') link?.peer.ping()
    return {
      path: this.#connected ? this.#path : null,
      rtt: this.#path === 'webrtc' ? (raw?.directRtt ?? this.#pathRtt) : this.#relayedRtt,
      relayRtt: raw?.relayRtt ?? null,
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

  /** Measures the time to the other peer and back, in milliseconds. */
  async ping(options: Abortable = {}): Promise<number> {
    const link = this.#active()
    const pong = this.#wait<number>(this.#whenPong, options.signal)
    link.peer.ping()
    return pong
  }

  /**
   * Sends what is waiting, for up to five seconds, tells the other peer, and hangs up. Calling it again changes
   * nothing. The pairing stays valid.
   */
  async close(): Promise<void> {
    const link = this.#link
    if (!link || link.end) return
    const ended = new Promise<void>((resolve) => this.#whenEnded.push({ resolve, reject: resolve }))
    link.peer.close(CLOSE_PATIENCE)
    await ended
  }

  /** The messages of the other peer. */
  [Symbol.asyncIterator](): AsyncIterator<string | ArrayBuffer, undefined> {
    return this.#messages.intake[Symbol.asyncIterator]()
  }

  /** @internal */
  protected override listened(type: string): void {
    if (type === 'message' || type === 'string' || type === 'binary') {
      queueMicrotask(() => this.#messages.intake.ready())
    }
  }

  /** @internal */
  protected override emit<K extends keyof ClientEvents & string>(type: K, value: ClientEvents[K]): void {
    if (this.#options.debug && type.includes('.')) console.debug('[peersox]', type, value)
    super.emit(type, value)
  }

  #isHeard(): boolean {
    return (
      this.#onBinary !== null ||
      this.#onString !== null ||
      this.hasListener('message') ||
      this.hasListener('string') ||
      this.hasListener('binary')
    )
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

  async #control(): Promise<[Engine, Server]> {
    const engine = await this.#engine
    this.#server ??= new engine.Server(this.url)
    return [engine, this.#server]
  }

  async #ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      const answer = await guardAsync(call)
      this.#noteServer()
      return answer
    } catch (error) {
      if (error instanceof PeerSoxError && error.code !== 'unreachable') this.#noteServer()
      throw error
    }
  }

  #noteServer(): void {
    if (this.#serverReady) return
    this.#serverReady = true
    this.emit('server.ready', { url: this.url })
  }

  #active(): Link {
    if (!this.#link) throw new ClosedError('closed', 'there is no connection: pair or connect first')
    if (this.#link.end) throw new ClosedError(this.#link.end.reason, this.#link.end.message)
    return this.#link
  }

  async #exclusively<T>(act: () => Promise<T>): Promise<T> {
    if (this.#busy || (this.#link && !this.#link.end)) {
      throw new BusyError('busy', 'this client is in a pairing already: close it first, or make another client')
    }
    this.#busy = true
    try {
      return await act()
    } finally {
      this.#busy = false
    }
  }

  async #begin(pairing: Pairing): Promise<void> {
    const [engine] = await this.#control()
    const options = this.#options
    this.#pairing = { ...pairing }
    this.#attached = this.#connected = this.#everConnected = this.#online = this.#restarted = this.#expired = false
    this.#path = this.#toldPath = this.#phrase = this.#peerName = this.#relayedRtt = this.#grace = null
    this.#link = new Link(
      engine,
      {
        server: this.url,
        id: fromHex(pairing.id),
        initiator: pairing.role === 'initiator',
        credential: fromBase64(pairing.credential),
        code: pairing.code,
        secret: pairing.secret === undefined ? undefined : fromBase64(pairing.secret),
        name: options.name,
        webrtc: options.webrtc === 'off' ? 0 : options.webrtc === 'manual' ? 1 : 2,
        iceServers: options.iceServers,
        icePolicy: options.iceTransportPolicy,
        maxMessage: options.maxMessageBytes ?? 64 << 20,
      },
      {
        attached: (resumed) => this.#onAttached(resumed),
        legLost: (reason, code, retryIn) => this.#onLegLost(reason, code, retryIn),
        peerOnline: () => this.#onPeerOnline(),
        peerAway: (grace) => {
          this.#online = false
          this.#grace = grace
        },
        secured: (phrase, name) => this.#onSecured(phrase, name),
        connected: () => this.#onConnected(),
        restarted: () => {
          this.#restarted = true
        },
        path: (path, rtt) => this.#onPath(path, rtt),
        opened: (channel) => this.#onOpened(channel),
        pong: (rtt) => {
          this.#relayedRtt = rtt
          this.#settle(this.#whenPong, rtt)
        },
        dialFailed: (why) => this.#fail(this.#whenDirect, new UpgradeError('upgrade-failed', why)),
        ended: (end) => this.#onEnded(end),
      },
    )
    this.#messages.use(this.#link)
    this.#listenToPage(true)
    if (pairing.role === 'initiator' && !pairing.secret) void this.#watchCode(pairing)
  }

  #whenAttachedTo(pairing: Pairing, signal?: AbortSignal): Promise<Status> {
    if (this.#attached) return Promise.resolve(this.status)
    const attached = this.#wait<void>(this.#whenAttached, signal).then(() => this.status)
    signal?.addEventListener(
      'abort',
      () => {
        if (!this.#attached && this.#pairing?.id === pairing.id) this.#link?.peer.close(0)
      },
      { once: true },
    )
    return attached
  }

  /** Tells when the code is used, or is not in time. */
  async #watchCode(pairing: Pairing): Promise<void> {
    const watch = new AbortController()
    this.#watch = watch
    const [, server] = await this.#control()
    while (!watch.signal.aborted) {
      try {
        await guardAsync(() =>
          server.watch(
            fromBase64(pairing.credential),
            (event) => {
              if (event === EVENT_JOINED) {
                watch.abort()
                this.emit('pairing.joined', { pairingId: pairing.id })
              } else if (event === EVENT_EXPIRED) {
                watch.abort()
                this.#expired = true
                this.emit('pairing.expired', { pairingId: pairing.id })
                this.#link?.peer.close(0)
              }
            },
            watch.signal,
          ),
        )
      } catch {
        // The stream is a convenience: the leg tells what matters, too.
      }
      if (!watch.signal.aborted) await new Promise((resolve) => setTimeout(resolve, WATCH_PAUSE))
    }
  }

  #onAttached(resumed: boolean): void {
    this.#noteServer()
    this.#attached = true
    this.emit('server.connected', { transport: 'websocket', resumed })
    this.#settle(this.#whenAttached)
  }

  #onLegLost(reason: string, code: number | null, retryIn: number | null): void {
    this.#attached = this.#online = false
    this.#grace = null
    this.emit('server.closed', { reason, code, retryIn })
    if (code === CLOSE_PEER_LOST && !this.#connected) this.emit('peer.gone', { reason: 'lost' })
  }

  #onPeerOnline(): void {
    this.#online = true
    // Whoever is there has used the code.
    if (this.#watch && !this.#watch.signal.aborted) {
      this.#watch.abort()
      if (this.#pairing) this.emit('pairing.joined', { pairingId: this.#pairing.id })
    }
  }

  #onSecured(phrase: string, name: string): void {
    const secret = this.#link?.peer.secret()
    if (this.#pairing && secret !== undefined) {
      const { code: _code, codeExpiresAt: _until, ...rest } = this.#pairing
      this.#pairing = { ...rest, secret: toBase64(secret) }
    }
    this.#phrase = phrase
    this.#peerName = name
    this.emit('peer.secured', { phrase, name })
    this.#settle(this.#whenSecured)
  }

  #onConnected(): void {
    if (this.#connected && !this.#restarted) return
    const restarted = this.#restarted
    const first = !this.#everConnected
    this.#connected = this.#everConnected = true
    this.#restarted = false
    const path = this.#path ?? 'relay'
    if (first) {
      this.emit('peer.connected', { path, phrase: this.#phrase ?? '', name: this.#peerName ?? '' })
    } else {
      this.emit('peer.back', { path, restarted })
    }
    this.#tellPath()
    this.#settle(this.#whenConnected)
  }

  #onPath(path: 0 | 1 | 2, rtt: number | null): void {
    this.#path = path === 0 ? null : path === 1 ? 'relay' : 'webrtc'
    this.#pathRtt = rtt
    if (this.#path === null && this.#connected) {
      this.#connected = false
      this.emit('peer.away', { graceMs: this.#online ? null : this.#grace })
    }
    if (this.#everConnected) this.#tellPath()
    if (this.#path === 'webrtc') this.#settle(this.#whenDirect)
  }

  #tellPath(): void {
    if (this.#toldPath === this.#path) return
    const previous = this.#toldPath
    this.#toldPath = this.#path
    this.emit('path.changed', { path: this.#path, previous, rtt: this.#pathRtt })
  }

  #onOpened(channel: Channel): void {
    if (channel.name === MESSAGE_CHANNEL) return this.#messages.opened(channel)
    if (channel.name === TRANSFER_CHANNEL && this.hasListener('transfer')) return void this.#offered(channel)
    // Nobody serves it: the other side is told so instead of being left to wait.
    if (!this.hasListener('channel')) return channel.reset(RESET_REFUSED)
    this.emit('channel', channel)
  }

  async #offered(channel: Channel): Promise<void> {
    const [engine, link] = [engineNow(), this.#link]
    if (!engine || !link || link.end) return
    const transfer = new IncomingTransfer(channel, new engine.Incoming(link.peer, channel.handle))
    if (await transfer.offered()) this.emit('transfer', transfer)
  }

  #onEnded(end: End): void {
    this.#listenToPage(false)
    this.#watch?.abort()
    const reason = this.#expired ? 'expired' : end.reason
    const message = this.#expired ? 'nobody used the code in time' : end.message
    const wasThere = this.#everConnected
    this.#attached = this.#connected = false
    this.#path = null
    this.#tellPath()
    const error = end.error ?? new ClosedError(reason, message)
    for (const waiters of [this.#whenAttached, this.#whenConnected, this.#whenSecured, this.#whenDirect, this.#whenPong]) {
      this.#fail(waiters, error)
    }
    if (wasThere && reason !== 'closed') this.emit('peer.gone', { reason })
    this.emit('closed', { reason, message, error: end.error })
    this.#settle(this.#whenEnded)
  }

  #wait<T = void>(waiters: Waiter[], signal?: AbortSignal): Promise<T> {
    const promise = new Promise<T>((resolve, reject) => {
      if (!this.#link) reject(new ClosedError('closed', 'there is no connection: pair or connect first'))
      else if (this.#link.end) reject(this.#link.end.error ?? new ClosedError(this.#link.end.reason, this.#link.end.message))
      else waiters.push({ resolve, reject })
    })
    promise.catch(() => {})
    return abortable(promise, signal)
  }

  #settle(waiters: Waiter[], value?: unknown): void {
    for (const waiter of waiters.splice(0)) waiter.resolve(value)
  }

  #fail(waiters: Waiter[], error: unknown): void {
    for (const waiter of waiters.splice(0)) waiter.reject(error)
  }

  /** A page that comes back, or a network that does, mends at once what may be broken. */
  readonly #wake = () => {
    if (globalThis.document?.visibilityState !== 'hidden' && this.#link && !this.#link.end) this.#link.peer.wake()
  }

  #listenToPage(on: boolean): void {
    const page = globalThis.document
    const change = on ? 'addEventListener' : 'removeEventListener'
    page?.[change]('visibilitychange', this.#wake)
    if (typeof globalThis.addEventListener !== 'function') return
    globalThis[change]('online', this.#wake)
    globalThis[change]('pageshow', this.#wake)
  }
}

/** As in docs/protocol.md. */
const TRANSFER_CHANNEL = 'peersox.transfer'

const CALL_CREATE = 0
const CALL_JOIN = 1
const CALL_STATE = 2
const CALL_DELETE = 3
const NOTHING = new Uint8Array()
const EVENT_JOINED = 2
const EVENT_EXPIRED = 6
const CLOSE_PEER_LOST = 4002
const CLOSE_PATIENCE = 5_000
const RESET_REFUSED = 1
const WATCH_PAUSE = 5_000
