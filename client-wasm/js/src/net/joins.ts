/**
 * Codes that were redeemed by calls which were given up: a code can be redeemed once, and whoever types it again on the
 * same page, as a framework does that mounts a component twice, is to get what came of it.
 *
 *     join ─► given up ─► kept for {@link KEPT} ─► taken by the next join with this code
 *                                             └─► withdrawn, so that the other side does not wait for nobody
 *
 * Only a pairing that never had a leg is kept: its code was not tried at the other side.
 *
 * @internal
 * @packageDocumentation
 */

import type { Pairing } from '../api/types.js'

/** See the module. */
export class Joins {
  readonly #kept = new Map<string, { joined: Promise<Pairing> }>()

  /** What came of an earlier call with this code, or will. It is the caller's then. */
  take(server: string, nameplate: string): Promise<Pairing> | undefined {
    const key = keyOf(server, nameplate)
    const kept = this.#kept.get(key)
    this.#kept.delete(key)
    return kept?.joined
  }

  /** Keeps what a call was given up for. `withdraw` is called if nobody takes it. */
  leave(server: string, nameplate: string, joined: Promise<Pairing>, withdraw: (pairing: Pairing) => Promise<void>): void {
    const key = keyOf(server, nameplate)
    const kept = { joined }
    this.#kept.set(key, kept)
    /** Whether it was nobody's. */
    const drop = () => this.#kept.get(key) === kept && this.#kept.delete(key)
    joined.then(
      (pairing) => {
        const timer: unknown = setTimeout(() => {
          if (drop()) withdraw(pairing).catch(() => {})
        }, KEPT)
        // A program in Node may end earlier.
        ;(timer as { unref?(): void }).unref?.()
      },
      () => void drop(),
    )
  }
}

function keyOf(server: string, nameplate: string): string {
  return `${nameplate} ${server}`
}

/** Milliseconds. */
const KEPT = 10_000
