/**
 * The pairing that a client is in, from the making of its link to the end.
 *
 *     link ─ attached, secured, connected, path, … ─► state ─► events of the client
 *                                                          └─► whoever waits for it
 *
 * There is one session for each client, begun again with each pairing.
 *
 * @internal
 * @packageDocumentation
 */

import { fromBase64, fromHex, toBase64 } from '../net/bytes.js'
import type { Channel } from './channel.js'
import type { Control } from '../net/control.js'
import type { Engine } from '../net/engine.js'
import { ClosedError, UpgradeError } from './errors.js'
import { abortable } from '../net/failure.js'
import { type End, Link, type LinkListener } from './link.js'
import { candidates } from '../net/rtcstats.js'
import type { ClientEvents, ClientOptions, Pairing, PathKind, Stats, Status } from './types.js'
import { Waiters } from './waiters.js'
import { Wake } from '../net/wake.js'

/** What a session tells its client. */
export interface Host {
  emit<K extends keyof ClientEvents & string>(type: K, value: ClientEvents[K]): void
  /** There is another link. */
  linked(): void
  /** The other side opened a channel. */
  opened(channel: Channel): void
  /** The link is over, for a reason or for none. */
  ended(error: Error | null): void
}

/** See the module. The methods of {@link LinkListener} are the link's to call. */
export class Session implements LinkListener {
  readonly whenConnected = new Waiters()
  readonly whenSecured = new Waiters()
  readonly whenDirect = new Waiters()
  readonly whenPong = new Waiters<number>()
  readonly whenEnded = new Waiters()
  readonly #whenAttached = new Waiters()
  readonly #control: Control
  readonly #options: ClientOptions
  readonly #host: Host
  readonly #wake: Wake
  #link: Link | null = null
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
  #watch: AbortController | null = null

  constructor(control: Control, options: ClientOptions, host: Host) {
    this.#control = control
    this.#options = options
    this.#host = host
    this.#wake = new Wake(() => {
      if (this.#link && !this.#link.end) this.#link.peer.wake()
    })
  }

  /** Makes the link of a pairing. */
  begin(engine: Engine, pairing: Pairing): void {
    const options = this.#options
    this.#pairing = { ...pairing }
    this.#attached = this.#connected = this.#everConnected = this.#online = this.#restarted = this.#expired = false
    this.#path = this.#toldPath = this.#phrase = this.#peerName = this.#relayedRtt = this.#grace = null
    this.#link = new Link(
      engine,
      {
        id: fromHex(pairing.id),
        initiator: pairing.role === 'initiator',
        code: pairing.code,
        secret: pairing.secret === undefined ? undefined : fromBase64(pairing.secret),
        name: options.name,
        webrtc: options.webrtc ?? 'auto',
        iceServers: options.iceServers,
        icePolicy: options.iceTransportPolicy,
        maxMessage: options.maxMessageBytes ?? 64 << 20,
        open: (signal) => this.#control.openSession(pairing, signal),
      },
      this,
    )
    this.#host.linked()
    this.#wake.listen(true)
    if (pairing.role === 'initiator' && !pairing.secret) this.#watchCode(pairing)
  }

  /** The last one that was made; it may have ended. */
  get link(): Link | null {
    return this.#link
  }

  /** The link if it has not ended. Throws if there is none. */
  active(): Link {
    if (!this.#link) throw new ClosedError('closed', 'there is no connection: pair or connect first')
    if (this.#link.end) throw new ClosedError(this.#link.end.reason, this.#link.end.message)
    return this.#link
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

  async stats(): Promise<Stats> {
    const link = this.#link
    const raw = link && !link.end ? link.peer.stats() : null
    const report = link && !link.end ? await link.peer.direct.stats() : undefined
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

  /** Resolves when the server is connected. An abort before that ends the pairing's link. */
  attachedTo(pairing: Pairing, signal?: AbortSignal): Promise<Status> {
    if (this.#attached) return Promise.resolve(this.status)
    const attached = this.wait(this.#whenAttached, signal).then(() => this.status)
    signal?.addEventListener(
      'abort',
      () => {
        if (!this.#attached && this.#pairing?.id === pairing.id) this.#link?.peer.close(0)
      },
      { once: true },
    )
    return attached
  }

  /** Waits with others, unless there is no link to wait for. */
  wait<T>(waiters: Waiters<T>, signal?: AbortSignal): Promise<T> {
    const link = this.#link
    const promise = !link
      ? Promise.reject<T>(new ClosedError('closed', 'there is no connection: pair or connect first'))
      : link.end
        ? Promise.reject<T>(link.end.error ?? new ClosedError(link.end.reason, link.end.message))
        : waiters.next()
    promise.catch(() => {})
    return abortable(promise, signal)
  }

  attached(resumed: boolean): void {
    this.#control.noteAnswer()
    this.#attached = true
    this.#host.emit('server.connected', { transport: 'websocket', resumed })
    this.#whenAttached.settle()
  }

  legLost(reason: string, code: number | null, retryIn: number | null): void {
    this.#attached = this.#online = false
    this.#grace = null
    this.#host.emit('server.closed', { reason, code, retryIn })
    if (code === CLOSE_PEER_LOST && !this.#connected) this.#host.emit('peer.gone', { reason: 'lost' })
  }

  peerOnline(): void {
    this.#online = true
    // Whoever is there has used the code.
    if (this.#watch && !this.#watch.signal.aborted) {
      this.#watch.abort()
      if (this.#pairing) this.#host.emit('pairing.joined', { pairingId: this.#pairing.id })
    }
  }

  peerAway(grace: number | null): void {
    this.#online = false
    this.#grace = grace
  }

  secured(phrase: string, name: string): void {
    const secret = this.#link?.peer.secret()
    if (this.#pairing && secret !== undefined) {
      const { code: _code, codeExpiresAt: _until, ...rest } = this.#pairing
      this.#pairing = { ...rest, secret: toBase64(secret) }
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

  restarted(): void {
    this.#restarted = true
  }

  path(path: 0 | 1 | 2, rtt: number | null): void {
    this.#path = path === 0 ? null : path === 1 ? 'relay' : 'webrtc'
    this.#pathRtt = rtt
    if (this.#path === null && this.#connected) {
      this.#connected = false
      this.#host.emit('peer.away', { graceMs: this.#online ? null : this.#grace })
    }
    if (this.#everConnected) this.#tellPath()
    if (this.#path === 'webrtc') this.whenDirect.settle()
  }

  opened(channel: Channel): void {
    this.#host.opened(channel)
  }

  pong(rtt: number): void {
    this.#relayedRtt = rtt
    this.whenPong.settle(rtt)
  }

  dialFailed(why: string): void {
    this.whenDirect.fail(new UpgradeError('upgrade-failed', why))
  }

  ended(end: End): void {
    this.#wake.listen(false)
    this.#watch?.abort()
    const reason = this.#expired ? 'expired' : end.reason
    const message = this.#expired ? 'nobody used the code in time' : end.message
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

  /** Tells when the code is used, or is not in time. */
  #watchCode(pairing: Pairing): void {
    const watch = new AbortController()
    this.#watch = watch
    void this.#control.watchCode(pairing, watch.signal, (outcome) => {
      watch.abort()
      if (outcome === 'joined') {
        this.#host.emit('pairing.joined', { pairingId: pairing.id })
      } else {
        this.#expired = true
        this.#host.emit('pairing.expired', { pairingId: pairing.id })
        this.#link?.peer.close(0)
      }
    })
  }
}

/** As in docs/protocol.md. */
const CLOSE_PEER_LOST = 4002
