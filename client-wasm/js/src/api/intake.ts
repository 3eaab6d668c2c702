/**
 * Takes what arrives, for listeners as it comes or for readers when they ask.
 *
 * @internal
 * @packageDocumentation
 */

interface Taker<T> {
  resolve(value: T | undefined): void
  reject(reason: unknown): void
}

/** One flow of messages. Nothing is held here: what nobody takes stays where it is and stops its sender. */
export class Intake<T> implements AsyncIterable<T> {
  readonly #takers: Taker<T>[] = []
  readonly #take: () => T | undefined
  readonly #isPushed: () => boolean
  readonly #push: (value: T) => void
  #ended = false
  #error: unknown = null
  #readable: ReadableStream<T> | undefined

  constructor(take: () => T | undefined, isPushed: () => boolean, push: (value: T) => void) {
    this.#take = take
    this.#isPushed = isPushed
    this.#push = push
  }

  /** There may be something. */
  ready(): void {
    for (;;) {
      const taker = this.#takers[0]
      if (!taker && !this.#isPushed()) return
      const value = this.#take()
      if (value === undefined) return
      if (taker) {
        this.#takers.shift()
        taker.resolve(value)
      }
      if (this.#isPushed()) this.#push(value)
    }
  }

  /** After an end there is more. */
  begin(): void {
    if (!this.#ended) return
    this.#ended = false
    this.#error = null
    this.#readable = undefined
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

  receive(signal?: AbortSignal): Promise<T | undefined> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    return new Promise((resolve, reject) => {
      if (this.#takers.length === 0) {
        const value = this.#take()
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
    this.#readable ??= new ReadableStream<T>(
      {
        pull: async (controller) => {
          const value = await this.receive()
          if (value === undefined) controller.close()
          else controller.enqueue(value)
        },
      },
      { highWaterMark: 0 },
    )
    return this.#readable
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    let over = false
    return {
      next: async () => {
        const value = over ? undefined : await this.receive()
        over ||= value === undefined
        return value === undefined ? { done: true, value: undefined } : { done: false, value }
      },
      return: async () => {
        over = true
        return { done: true, value: undefined }
      },
    }
  }
}
