/**
 * Whole messages out of pieces.
 *
 * @internal
 * @packageDocumentation
 */

import { ChannelResetError } from '../api/errors.js'
import type { Machine } from './machine.js'

/** What an assembler needs of a machine. */
export type PieceSource = Pick<Machine, 'read' | 'reset'>

/** Reads the channels of one machine. */
export class Assembler {
  readonly #machine: PieceSource
  readonly #limit: number
  /** What came of a message so far, and room for more of it, by channel. */
  readonly #begun = new Map<number, { bytes: Uint8Array<ArrayBuffer>; length: number }>()

  /** Takes messages of at most `limit` bytes. */
  constructor(machine: PieceSource, limit: number) {
    this.#machine = machine
    this.#limit = limit
  }

  /** The next message of a channel, if all of it is there. If it cannot be had, resets the channel and throws. */
  next(channel: number): string | Uint8Array<ArrayBuffer> | undefined {
    for (let piece = this.#machine.read(channel); piece; piece = this.#machine.read(channel)) {
      const begun = this.#begun.get(channel) ?? { bytes: NOTHING, length: 0 }
      const length = begun.length + piece.bytes.length
      if (length > this.#limit) this.#refuse(channel, TOO_LARGE, `a message of more than ${this.#limit} bytes came`)
      const isLast = piece.kind >= LAST
      const isWhole = isLast && begun.length === 0
      if (!isWhole) {
        begun.bytes = grown(begun.bytes, length, this.#limit)
        begun.bytes.set(piece.bytes, begun.length)
        begun.length = length
        this.#begun.set(channel, begun)
      }
      if (!isLast) continue
      begun.length = 0
      if (begun.bytes.length > KEPT) this.#begun.delete(channel)
      const bytes = isWhole ? piece.bytes : begun.bytes.subarray(0, length)
      if (!(piece.kind & TEXT)) return new Uint8Array(bytes)
      try {
        strict ??= new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
        return strict.decode(bytes)
      } catch {
        this.#refuse(channel, MALFORMED, 'a text message is no text')
      }
    }
    return undefined
  }

  /** The channel will not be read again. */
  forget(channel: number): void {
    this.#begun.delete(channel)
  }

  #refuse(channel: number, code: number, why: string): never {
    this.#machine.reset(channel, code)
    throw new ChannelResetError(why, null)
  }
}

/** The same bytes with room for so many, and for twice as many as before, up to a limit: a byte is moved once on average. */
function grown(bytes: Uint8Array<ArrayBuffer>, length: number, limit: number): Uint8Array<ArrayBuffer> {
  if (length <= bytes.length) return bytes
  const larger = new Uint8Array(Math.max(length, Math.min(2 * bytes.length, limit)))
  larger.set(bytes)
  return larger
}

/** Bytes of room that a channel keeps for its next message. */
const KEPT = 256 << 10
let strict: TextDecoder | undefined
const NOTHING = new Uint8Array()
/** The bits of a piece's kind. */
const TEXT = 1
const LAST = 2
/** Codes of a reset, as docs/protocol.md has them. */
const TOO_LARGE = 3
const MALFORMED = 4
