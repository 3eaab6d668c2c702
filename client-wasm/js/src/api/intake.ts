/**
 * Takes what arrives, for listeners as it comes or for readers when they ask.
 *
 *     take ─► heard? ─ yes ─► push
 *                   └─ no ──► held ─► receive(), for await, readable, or a listener that comes later
 *
 * @internal
 * @packageDocumentation
 */

interface Taker<T> {
  resolve(value: T | undefined): void
  reject(reason: unknown): void
}

/** What an intake is made of. */
export interface Flow<T> {
  /** The next one, if it is there. */
  take(): T | undefined
  /** Whether anybody listens at all. */
  isHeard(): boolean
  /** Whether somebody listens to this one. */
  hears(value: T): boolean
  /** Gives it to those who listen. */
  push(value: T): void
  /** Bytes that it takes. */
  sizeOf(value: T): number
  /** So much is held that nothing moves any more until some of it is taken. */
  full?(): void
}

/**
 * One flow of messages. What nobody takes stays where it is and stops its sender. While somebody listens to one kind
 * only, messages of another kind are held here, up to {@link MAX_HELD} bytes, so that they wait without stopping it.
 */
export class Intake<T> implements AsyncIterable<T> {
  readonly #takers: Taker<T>[] = []
  readonly #flow: Flow<T>
  #held: T[] = []
  #heldBytes = 0
  #isPushing = false
  #isFull = false
  #ended = false
  #error: unknown = null
  #readable: ReadableStream<T> | undefined

  constructor(flow: Flow<T>) {
    this.#flow = flow
  }

  /** There may be something, or somebody to take it. */
  ready(): void {
    // A listener that is being told may cause the next message, which comes after everybody was told of this one.
    if (this.#isPushing) return
    this.#isPushing = true
    try {
      while (this.#step()) {}
    } finally {
      this.#isPushing = false
    }
  }

  /** In a moment, when whoever sets listeners has set them all. */
  readySoon(): void {
    queueMicrotask(() => this.ready())
  }

  /** After an end there is more. */
  begin(): void {
    if (!this.#ended) return
    this.#ended = false
    this.#error = null
    this.#readable = undefined
    this.#held = []
    this.#heldBytes = 0
  }

  /** Nothing more will come, for a reason or for none. */
  end(error: unknown = null): void {
    if (this.#ended) return
    this.ready()
    this.#ended = true
    this.#error = error
    for (const taker of this.#takers.splice(0)) {
      if (error === null) taker.resolve(undefined)
      else taker.reject(error)
    }
  }

  /** The next one, whatever its kind; undefined at the end. */
  receive(signal?: AbortSignal): Promise<T | undefined> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    return new Promise((resolve, reject) => {
      if (this.#takers.length === 0) {
        const value = this.#next()
        if (value !== undefined) return resolve(value)
      }
      if (this.#ended) return this.#error === null ? resolve(undefined) : reject(this.#error)
      const abort = () => {
        const at = this.#takers.indexOf(taker)
        if (at >= 0) this.#takers.splice(at, 1)
        reject(signal?.reason)
      }
      const taker: Taker<T> = {
        resolve: (value) => {
          signal?.removeEventListener('abort', abort)
          resolve(value)
        },
        reject: (reason) => {
          signal?.removeEventListener('abort', abort)
          reject(reason)
        },
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#takers.push(taker)
    })
  }

  get readable(): ReadableStream<T> {
    if (this.#readable) return this.#readable
    const iterator = this[Symbol.asyncIterator]()
    const readable = new ReadableStream<T>(
      {
        pull: async (controller) => {
          const { done, value } = await iterator.next()
          if (done) controller.close()
          else controller.enqueue(value)
        },
        // Who cancels takes nothing any more; another stream may go on.
        cancel: () => {
          if (this.#readable === readable) this.#readable = undefined
          void iterator.return?.()
        },
      },
      { highWaterMark: 0 },
    )
    this.#readable = readable
    return readable
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    const left = new AbortController()
    const over = { done: true, value: undefined } as const
    return {
      next: async () => {
        try {
          const value = left.signal.aborted ? undefined : await this.receive(left.signal)
          if (value !== undefined) return { done: false, value }
          left.abort()
        } catch (error) {
          if (!left.signal.aborted) {
            left.abort()
            throw error
          }
        }
        return over
      },
      // A `next` that still waits must not swallow what comes later.
      return: async () => {
        left.abort()
        return over
      },
    }
  }

  /** Moves one message on; false if none can move. */
  #step(): boolean {
    const flow = this.#flow
    const isHeard = flow.isHeard()
    const taker = this.#takers[0]
    if (taker) {
      const value = this.#next()
      if (value === undefined) return false
      this.#takers.shift()
      taker.resolve(value)
      if (isHeard && flow.hears(value)) flow.push(value)
      return true
    }
    if (!isHeard) return false
    const at = this.#held.findIndex((it) => flow.hears(it))
    if (at >= 0) {
      flow.push(this.#unhold(at))
      return true
    }
    if (this.#heldBytes >= MAX_HELD) {
      if (!this.#isFull) flow.full?.()
      this.#isFull = true
      return false
    }
    const value = flow.take()
    if (value === undefined) return false
    if (flow.hears(value)) flow.push(value)
    else this.#hold(value)
    return true
  }

  #next(): T | undefined {
    return this.#held.length > 0 ? this.#unhold(0) : this.#flow.take()
  }

  #hold(value: T): void {
    this.#held.push(value)
    this.#heldBytes += this.#flow.sizeOf(value) + OVERHEAD
  }

  #unhold(at: number): T {
    const [value] = this.#held.splice(at, 1) as [T]
    this.#heldBytes -= this.#flow.sizeOf(value) + OVERHEAD
    this.#isFull = false
    return value
  }
}

/** Bytes: as much as waits unread at the other side's expense, too. */
export const MAX_HELD = 1 << 20

/** Bytes by which an empty message counts. */
const OVERHEAD = 64
