/** A page that comes back, or a network that does, mends at once what may be broken. @internal */
export class Wake {
  readonly #wake: () => void

  constructor(wake: () => void) {
    this.#wake = () => {
      if (globalThis.document?.visibilityState !== 'hidden') wake()
    }
  }

  /** Begins to listen to the page, or ends it. */
  listen(on: boolean): void {
    const page = globalThis.document
    const change = on ? 'addEventListener' : 'removeEventListener'
    page?.[change]('visibilitychange', this.#wake)
    if (typeof globalThis.addEventListener !== 'function') return
    globalThis[change]('online', this.#wake)
    globalThis[change]('pageshow', this.#wake)
  }
}
