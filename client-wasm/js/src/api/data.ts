/**
 * What may be sent, and how long it is. Nothing here copies a byte.
 *
 * @internal
 * @packageDocumentation
 */

import { TooLargeError } from './errors.js'
import type { Data } from './types.js'

/** A message as the connection takes it, or a blob whose bytes have to be read first. */
export type Message = string | Uint8Array | Blob

/**
 * The message that somebody wants to send. Throws a `TypeError` for what is no message, and a {@link TooLargeError} for
 * one of more than `limit` bytes.
 */
export function messageOf(data: Data, limit: number): Message {
  const message = typeof data === 'string' || isBlob(data) ? data : view(data)
  const isTooLarge =
    typeof message === 'string' ? isLongerThan(message, limit) : sizeOf(message) > limit
  if (isTooLarge) throw new TooLargeError('too-large', `a message of more than ${limit} bytes cannot be sent`)
  if (typeof message === 'string' && !isWellFormed(message)) {
    throw new TypeError('the text has half of a surrogate pair, which UTF-8 cannot carry: use `toWellFormed()`, or send bytes')
  }
  return message
}

/** Bytes of a message; of a text at least as many as it has units. */
export function sizeOf(message: Message | ArrayBuffer): number {
  if (typeof message === 'string') return message.length
  return isBlob(message) ? message.size : message.byteLength
}

/** Whether something is a `Blob` or `File`, of this realm or another. */
export function isBlob(data: unknown): data is Blob {
  return /^\[object (Blob|File)\]$/.test(tagOf(data)) && typeof (data as Blob).size === 'number'
}

/** The bytes of a buffer, shared or not, of this realm or another; or of exactly the part that a view shows. */
export function view(data: ArrayBufferLike | ArrayBufferView): Uint8Array {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  if (/^\[object (Shared)?ArrayBuffer\]$/.test(tagOf(data))) return new Uint8Array(data)
  throw new TypeError('a message is a string, an ArrayBuffer, a view of one, or a Blob')
}

function tagOf(data: unknown): string {
  return Object.prototype.toString.call(data)
}

/** Whether the UTF-8 of a text has more bytes. A unit of a text takes one to three. */
function isLongerThan(text: string, limit: number): boolean {
  if (text.length > limit) return true
  if (3 * text.length <= limit) return false
  let bytes = 0
  for (let at = 0; at < text.length && bytes <= limit; at++) {
    const unit = text.charCodeAt(at)
    // Each half of a surrogate pair stands for two bytes of the four.
    bytes += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3
  }
  return bytes > limit
}

function isWellFormed(text: string): boolean {
  // Of ES2024; Chrome before 111 and Safari before 16.4 do not have it.
  const native = (text as { isWellFormed?(): boolean }).isWellFormed
  return native ? native.call(text) : !/\p{Surrogate}/u.test(text)
}
