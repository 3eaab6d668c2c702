/** Those who wait for one thing, each with a promise. @internal */
export class Waiters<T = void> {
  #waiting: { resolve(value: T): void; reject(error: unknown): void }[] = []

  /** One more, until the next call of the two below. */
  next(): Promise<T> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  /** It happened. */
  settle(value: T): void {
    for (const it of this.#waiting.splice(0)) it.resolve(value)
  }

  /** It will not. */
  fail(error: unknown): void {
    for (const it of this.#waiting.splice(0)) it.reject(error)
  }
}
