import { clock } from './door.js'

/** A page that comes back, or a network that does, mends at once what may be broken. @internal */
export class Wake {
  readonly #wake: () => void
  /** By how much the clock of the calendar is before that of the page, which may stand while a device sleeps. */
  #ahead = ahead()

  /** Begins to listen to the page. */
  constructor(wake: () => void) {
    this.#wake = () => {
      if (globalThis.document?.visibilityState !== 'hidden') wake()
    }
    this.#listen('addEventListener')
  }

  /** Milliseconds that the device slept, unknown to `performance.now()`, since the last call that gave any. */
  slept(): number {
    const slept = ahead() - this.#ahead
    // The clock of the calendar is also set by hand, and by its server: a little, or back.
    if (Math.abs(slept) < ASLEEP) return 0
    this.#ahead += slept
    return Math.max(slept, 0)
  }

  /** Nothing more is told. */
  stop(): void {
    this.#listen('removeEventListener')
  }

  #listen(change: 'addEventListener' | 'removeEventListener'): void {
    globalThis.document?.[change]('visibilitychange', this.#wake)
    if (typeof globalThis.addEventListener !== 'function') return
    globalThis[change]('online', this.#wake)
    globalThis[change]('pageshow', this.#wake)
  }
}

function ahead(): number {
  return Date.now() - clock()
}

/** Milliseconds by which the two clocks differ at least when a device slept. */
const ASLEEP = 1_000
