/** Counts bytes, and how many of them went by in the last two seconds. @internal */
export class Meter {
  total = 0
  readonly #slots = new Float64Array(SLOTS)
  /** The number of the slot that counts now, since the beginning of time. */
  #current = 0

  add(bytes: number, now: number): void {
    this.#turn(now)
    this.total += bytes
    this.#slots[this.#current % SLOTS]! += bytes
  }

  /** Bytes per second. */
  rate(now: number): number {
    this.#turn(now)
    return this.#slots.reduce((sum, slot) => sum + slot, 0) / 2
  }

  /** Empties the slots whose time is over. */
  #turn(now: number): void {
    const number = Math.floor(now / SLOT_MILLIS)
    for (let back = Math.min(number - this.#current, SLOTS); back > 0; back--) {
      this.#slots[(number - back + 1) % SLOTS] = 0
    }
    this.#current = number
  }
}

const SLOTS = 8
const SLOT_MILLIS = 250
