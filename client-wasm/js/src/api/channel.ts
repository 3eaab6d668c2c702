/**
 * A named stream of messages each way, without loss, in order, over whatever path there is.
 *
 * @packageDocumentation
 */

import { abortable, throwIfAborted } from '../net/failure.js'
import { isBlob, type Message, messageOf, sizeOf, view } from './data.js'
import { Emitter } from './emitter.js'
import type { End } from './end.js'
import { ChannelResetError, ClosedError, type PeerSoxError, TooLargeError } from './errors.js'
import { Intake } from './intake.js'
import type { Abortable, Data, Priority } from './types.js'

/** What listeners of a channel are given. */
export interface ChannelEvents {
  /** A message arrived. Listening takes messages as fast as they come. */
  message: string | ArrayBuffer
  /** A datagram arrived. */
  datagram: Uint8Array
  /** {@link Channel.send} would not wait now. */
  writable: undefined
  /** The other peer will send no more; everything was taken. */
  end: undefined
  /** A {@link Channel.send} failed, for another reason than the end of the channel. Without a listener the client tells it. */
  error: PeerSoxError | TypeError
  /** The channel is over. */
  close: { error: Error | null }
}

/** What a channel needs of its session. @internal */
export interface Owner {
  /** The longest message that may be sent, in bytes. */
  readonly maxMessage: number
  /** Called once, when the channel is over. */
  forget(): void
  /** A send failed that the channel has no listener for; false if nobody hears of it. */
  report(error: PeerSoxError | TypeError): boolean
}

/** What a channel needs of the connection that carries it. Every method takes the channel's handle. @internal */
export interface Carrier {
  /** Sends a message; false if there is no room, and then {@link Channel.writeReady} follows. */
  send(handle: number, message: string | Uint8Array): boolean
  /** Sends a datagram; false if it was dropped. */
  sendDatagram(handle: number, bytes: Uint8Array): boolean
  /** The next message. Throws if the channel had to be reset. */
  read(handle: number): string | Uint8Array<ArrayBuffer> | undefined
  readDatagram(handle: number): Uint8Array<ArrayBuffer> | undefined
  /** Ends this side's direction. */
  finish(handle: number): void
  /** Ends the channel at once. */
  reset(handle: number, code: number): void
  /** Bytes sent and not taken by the other side. */
  pending(handle: number): number
  /** The longest datagram. */
  maxDatagram(): number
}

interface Waiting {
  /** A blob is read when its turn comes; null while that is under way. */
  data: Message | null
  size: number
  resolve(): void
  reject(error: unknown): void
}

/** What may wait for room in one channel before `send` refuses more. */
const MAX_WAITING = 64 << 20

/**
 * A channel between the two peers.
 *
 * Messages wait until they are taken: by a listener, by `for await`, by {@link Channel.receive} or
 * from {@link Channel.readable}; use one of these at a time. While nobody takes them the other peer
 * is stopped after a megabyte.
 */
export class Channel extends Emitter<ChannelEvents> implements AsyncIterable<string | ArrayBuffer> {
  /** The name, the same on both sides. */
  readonly name: string
  /** Who goes first when several channels have something to send. */
  readonly priority: Priority
  /** Whether this side opened it. */
  readonly mine: boolean
  /** Resolves when the channel is over, in good order or not. */
  readonly closed: Promise<void>

  readonly #carrier: Carrier
  readonly #handle: number
  readonly #owner: Owner
  readonly #intake: Intake<string | ArrayBuffer>
  #waiting: Waiting[] = []
  #waitingBytes = 0
  /** A message was refused because too much waited: until that is gone no later one passes it. */
  #hasGap = false
  #over: PeerSoxError | null = null
  #isOver = false
  #finishing = false
  #isFlushed = false
  #isEnded = false
  #settle!: () => void
  #whenFlushed: { resolve(): void; reject(error: unknown): void }[] = []
  #writable: WritableStream<Data> | undefined

  /** @internal */
  constructor(
    carrier: Carrier,
    handle: number,
    name: string,
    priority: Priority,
    mine: boolean,
    owner: Owner,
  ) {
    super()
    this.#carrier = carrier
    this.#owner = owner
    this.#handle = handle
    this.name = name
    this.priority = priority
    this.mine = mine
    this.closed = new Promise((resolve) => (this.#settle = resolve))
    const isHeard = () => this.hasListener('message')
    this.#intake = new Intake<string | ArrayBuffer>({
      take: () => this.takeNow(),
      isHeard,
      hears: isHeard,
      push: (message) => this.emit('message', message),
      sizeOf,
    })
  }

  /** Bytes that were sent and that the other peer has not taken, with 64 for each message. */
  get bufferedAmount(): number {
    return this.#waitingBytes + (this.#isOver ? 0 : this.#carrier.pending(this.#handle))
  }

  /** The longest datagram in bytes. */
  get maxDatagramSize(): number {
    return this.#isOver ? 0 : this.#carrier.maxDatagram()
  }

  /**
   * Sends one message. Resolves when there is room for the next one; messages keep the order of
   * the calls whether or not the promise is awaited. Of a view exactly its part of the buffer is sent;
   * of a `Blob` or `File` its bytes, which are read when its turn comes.
   *
   * Rejects with a {@link TooLargeError} if the message has more than 64 MiB, or than {@link ClientOptions.maxMessageBytes}
   * if that is more; and if more than 64 MiB of messages wait for room already: then every message is refused until all
   * of them have left, so that none passes a gap. Rejects with a `TypeError` for what is no message, and for text with half
   * of a surrogate pair. Who does not await it hears of both by the event `error`; without a listener of that the
   * rejection is unhandled. Only the end of the channel is silent: `close` tells it.
   */
  send(data: Data, options?: Abortable): Promise<void> {
    const signal = options?.signal
    const sent: Promise<void> = this.#send(data, signal).catch((error: unknown) => {
      const isEnd = error instanceof ClosedError || error instanceof ChannelResetError || error === this.#over
      const isAborted = signal?.aborted && error === signal.reason
      // What is told, or needs no telling, does not count as unhandled.
      if (isEnd || isAborted || this.#report(error as PeerSoxError | TypeError)) sent.catch(() => {})
      throw error
    })
    return sent
  }

  #report(error: PeerSoxError | TypeError): boolean {
    if (!this.hasListener('error')) return this.#owner.report(error)
    this.emit('error', error)
    return true
  }

  async #send(data: Data, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal)
    const message = messageOf(data, this.#owner.maxMessage)
    if (this.#isOver) throw this.#over ?? new ClosedError('closed', 'the channel is over')
    if (this.#finishing) throw new ClosedError('closed', 'the channel was finished by this side')
    if (this.#waiting.length === 0 && !isBlob(message) && this.#trySend(message)) return
    const size = sizeOf(message)
    this.#hasGap ||= this.#waiting.length > 0 && this.#waitingBytes + size > MAX_WAITING
    if (this.#hasGap) {
      throw new TooLargeError('too-large', 'more than 64 MiB wait to be sent: await `send` before sending more')
    }
    const waiting = {} as Waiting
    const sent = new Promise<void>((resolve, reject) => {
      // The caller may use its buffer again before there is room.
      const copy = typeof message === 'string' || isBlob(message) ? message : message.slice()
      Object.assign(waiting, { data: copy, size, resolve, reject })
      this.#waiting.push(waiting)
      this.#waitingBytes += size
    })
    if (isBlob(message)) this.#drain()
    return abortable(sent, signal, () => this.#take(waiting))
  }

  /** Sends what waits while there is room. */
  #drain(): void {
    for (let waiting = this.#waiting[0]; waiting; waiting = this.#waiting[0]) {
      const { data } = waiting
      if (data === null) return
      if (isBlob(data)) return this.#read(waiting, data)
      try {
        if (!this.#trySend(data)) return
        waiting.resolve()
      } catch (error) {
        waiting.reject(error)
      }
      this.#take(waiting)
    }
  }

  /** Reads a blob, whose place in the order is kept meanwhile. */
  #read(waiting: Waiting, blob: Blob): void {
    waiting.data = null
    Promise.resolve()
      .then(() => blob.arrayBuffer())
      .then(
        (buffer) => {
          waiting.data = new Uint8Array(buffer)
        },
        (cause: unknown) => {
          waiting.reject(new TypeError('the blob cannot be read', { cause }))
          this.#take(waiting)
        },
      )
      .then(() => this.writeReady())
  }

  /** Takes one out of what waits. */
  #take(waiting: Waiting): void {
    const at = this.#waiting.indexOf(waiting)
    if (at < 0) return
    this.#waitingBytes -= this.#waiting.splice(at, 1)[0]!.size
    if (this.#waiting.length === 0) this.#hasGap = false
  }

  /**
   * Sends a datagram now or never: unordered, unreliable, at most {@link Channel.maxDatagramSize} bytes.
   * Returns whether it was sent.
   */
  sendDatagram(data: ArrayBufferLike | ArrayBufferView): boolean {
    if (this.#isOver) return false
    return this.#carrier.sendDatagram(this.#handle, view(data))
  }

  /** Takes the next message; `undefined` at the end. */
  receive(options?: Abortable): Promise<string | ArrayBuffer | undefined> {
    return this.#intake.receive(options?.signal)
  }

  /** The messages of the other peer. */
  get readable(): ReadableStream<string | ArrayBuffer> {
    return this.#intake.readable
  }

  /** Messages to the other peer; closing it ends this side's direction. */
  get writable(): WritableStream<Data> {
    this.#writable ??= new WritableStream<Data>({
      write: (data) => this.send(data),
      close: () => this.finish(),
      abort: () => this.reset(),
    })
    return this.#writable
  }

  /** Ends this side's direction. Resolves when the other peer has taken everything. */
  finish(options?: Abortable): Promise<void> {
    if (!this.#isOver && !this.#finishing) {
      this.#finishing = true
      if (this.#waiting.length === 0) this.#carrier.finish(this.#handle)
    }
    const flushed = new Promise<void>((resolve, reject) => {
      if (this.#isFlushed) resolve()
      else if (this.#isOver) reject(this.#over ?? new ClosedError('closed', 'the channel is over'))
      else this.#whenFlushed.push({ resolve, reject })
    })
    const finished = abortable(flushed, options?.signal)
    // Who does not wait hears of it by the channel's end.
    finished.catch(() => {})
    return finished
  }

  /** Ends the channel at once, in both directions; what is under way is lost. */
  reset(code = 0): void {
    if (this.#isOver) return
    this.#carrier.reset(this.#handle, code)
    this.#finish(new ClosedError('closed', 'the channel was reset by this side'))
  }

  /** The messages of the other peer. Leaving the loop leaves the channel open. */
  [Symbol.asyncIterator](): AsyncIterator<string | ArrayBuffer, undefined> {
    return this.#intake[Symbol.asyncIterator]()
  }

  /** The next message if it is there. @internal */
  takeNow(): string | ArrayBuffer | undefined {
    if (this.#isOver) return undefined
    try {
      const message = this.#carrier.read(this.#handle)
      return typeof message === 'object' ? message.buffer : message
    } catch (thrown) {
      this.#finish(thrown as PeerSoxError)
      return undefined
    }
  }

  /** Sends bytes if there is room now, else `writable` follows. They are copied before it returns. @internal */
  trySend(bytes: Uint8Array): boolean {
    return !this.#isOver && this.#waiting.length === 0 && this.#trySend(bytes)
  }

  /** What the client hears instead of listeners, for the channels it uses itself. @internal */
  onReady: (() => void) | null = null

  /** @internal */
  readReady(): void {
    if (this.onReady) this.onReady()
    else this.#intake.ready()
  }

  /** @internal */
  datagramReady(): void {
    if (!this.hasListener('datagram') && !this.onReady) return
    for (;;) {
      const datagram = this.#isOver ? undefined : this.#carrier.readDatagram(this.#handle)
      if (datagram === undefined) return
      this.emit('datagram', datagram)
    }
  }

  /** @internal */
  writeReady(): void {
    if (this.#isOver) return
    this.#drain()
    if (this.#waiting.length > 0) return
    if (this.#finishing) this.#carrier.finish(this.#handle)
    else this.emit('writable', undefined)
  }

  /** @internal */
  ended(): void {
    this.#isEnded = true
    this.#intake.end()
    this.emit('end', undefined)
    this.#look()
  }

  /** @internal */
  flushed(): void {
    this.#isFlushed = true
    for (const waiting of this.#whenFlushed.splice(0)) waiting.resolve()
    this.#look()
  }

  /** @internal */
  wasReset(code: number | null): void {
    const why =
      code === null
        ? 'the other side was restarted'
        : code === 1
          ? 'nobody on the other side serves this channel'
          : `the other side reset the channel (${code})`
    this.#finish(new ChannelResetError(why, code))
  }

  /** @internal */
  connectionEnded(end: End): void {
    this.#finish(end.error ?? new ClosedError(end.reason, end.message), end.error === null)
  }

  /** @internal */
  protected override listened(type: string): void {
    if (type === 'message') queueMicrotask(() => this.readReady())
    if (type === 'datagram') queueMicrotask(() => this.datagramReady())
  }

  #trySend(message: string | Uint8Array): boolean {
    return this.#carrier.send(this.#handle, message)
  }

  /** Both directions may be over in good order. */
  #look(): void {
    if (this.#isEnded && this.#isFlushed) this.#finish(null)
  }

  /** A close in good order is an end to readers, and to nobody else. */
  #finish(error: PeerSoxError | null, goodEnd = error === null): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#over = error
    this.#owner.forget()
    this.#intake.end(goodEnd ? null : error)
    const reason = error ?? new ClosedError('closed', 'the channel is over')
    for (const waiting of this.#waiting.splice(0)) waiting.reject(reason)
    this.#waitingBytes = 0
    for (const waiting of this.#whenFlushed.splice(0)) waiting.reject(reason)
    this.emit('close', { error: goodEnd ? null : error })
    this.onReady?.()
    this.#settle()
  }

  /** Whether it is over. @internal */
  get isOver(): boolean {
    return this.#isOver
  }

  /** What ended it, if not a good end. @internal */
  get overBy(): PeerSoxError | null {
    return this.#over
  }
}
