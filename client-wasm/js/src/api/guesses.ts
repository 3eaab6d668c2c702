/**
 * Codes that were tried, on this page. A code gives whoever poses as the other device one guess at its words. So a code
 * works once, and a page that shows one code after the other by itself must not hand out guesses without end.
 *
 * Three an hour are 72 a day, which open two words (20 bits) with 7 in 100,000.
 *
 * @internal
 * @packageDocumentation
 */

import { PairingInvalidError, RateLimitedError } from './errors.js'
import type { Pairing } from './types.js'

/** See the module. A page has one, see {@link GUESSES}. */
export class Guesses {
  /** Pairings whose codes were tried, and codes that were typed and tried, the latest first. */
  #used: string[] = []
  /** When codes that this page showed were tried. Those that led to a secret are taken out again. */
  #shown: { id: string; at: number }[] = []

  /** Throws if the code of a pairing must not be tried any more. */
  check(pairing: Pairing): void {
    if (pairing.secret || !pairing.code) return
    if (this.#used.includes(pairing.id) || (pairing.role === 'joiner' && this.#used.includes(pairing.code))) {
      throw new PairingInvalidError('pairing-invalid', 'the code of this pairing was used, and a code works once; pair the two devices again')
    }
    if (pairing.role === 'initiator') this.checkShowing()
  }

  /** Throws if this page has to wait before it shows another code. */
  checkShowing(): void {
    const now = Date.now()
    this.#shown = this.#shown.filter(({ at }) => now - at < HOUR)
    const [oldest] = this.#shown
    if (this.#shown.length < FREE || !oldest) return
    throw new RateLimitedError(`${FREE} codes were tried with wrong words: somebody may be guessing; wait before showing another`, oldest.at + HOUR - now)
  }

  /** The code of a pairing was tried. */
  used(pairing: Pairing): void {
    const { id, role, code = id } = pairing
    // A server that guesses would answer with another pairing when the same code is typed again.
    this.#used = [id, role === 'joiner' ? code : id, ...this.#used].slice(0, REMEMBERED)
    if (role === 'initiator') this.#shown.push({ id, at: Date.now() })
  }

  /** Both sides knew the code. */
  right(id: string): void {
    this.#shown = this.#shown.filter((it) => it.id !== id)
  }
}

/** Codes that may be tried within an hour. */
const FREE = 3
/** Milliseconds. */
const HOUR = 3_600_000
/** Entries, two for each code; nobody has so many codes tried on one page. */
const REMEMBERED = 1_000

/** Those of this page. */
export const GUESSES = new Guesses()
