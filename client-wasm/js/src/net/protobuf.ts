/**
 * Protocol Buffers, as far as the messages of `#wire` need them.
 *
 *     message = *field      field = varint(number << 3 | type) ‖ value
 *                           type 0: a varint; 1: 8 bytes; 2: a length, as a varint, and so many bytes; 5: 4 bytes
 *
 * A message is described by a table of its fields, which messages.mjs makes of the `.proto`.
 *
 * @internal
 * @packageDocumentation
 */

/** The fields of a message by their names. */
export interface Table<T> {
  readonly [name: string]: Field
  /** In types only. */
  readonly [described]?: T
}

type Field = readonly [number: number, kind: Kind | Table<unknown>, isRepeated?: true]

declare const described: unique symbol

/** What a field holds that is no message; messages.mjs has the same numbers. */
const enum Kind {
  /** Exact up to 2^53. A negative one can be read only, and is rounded to a multiple of 2,048. */
  Number = 0,
  Flag = 1,
  Text = 2,
  Bytes = 3,
}

type Value = number | boolean | string | Uint8Array | Message
type Message = { [name: string]: Value | Value[] | undefined }

/** Decodes a message; `undefined` if the bytes are none. Fields that are not in the table are skipped. */
export function decode<T>(table: Table<T>, bytes: Uint8Array): T | undefined {
  try {
    return read(table, bytes) as T
  } catch {
    return undefined
  }
}

/** Encodes a message. Fields that are missing, or have the value that a missing one is read as, are left out. */
export function encode<T>(table: Table<T>, message: Partial<T>): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(write(table, message as Message))
}

function read(table: Table<unknown>, bytes: Uint8Array): Message {
  const fields = Object.entries(table)
  const message: Message = {}
  for (const [name, [, kind, isRepeated]] of fields) {
    message[name] = isRepeated ? [] : typeof kind === 'number' ? MISSING[kind] : undefined
  }
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let unit = 1; unit <= 2 ** 63; unit *= 128) {
      // Beyond the end there are zeros; that it was passed is noticed below.
      const byte = bytes[at++] ?? 0
      value += (byte & 127) * unit
      // Negative numbers are those of 64 bits that look largest.
      if (byte < 128) return value < 2 ** 63 ? value : value - 2 ** 64
    }
    throw new RangeError('too long')
  }
  while (at < bytes.length) {
    const tag = varint()
    const type = tag % 8
    const tagged = Math.floor(tag / 8)
    const field = fields.find(([, [number, kind]]) => number === tagged && typeOf(kind) === type)
    const number = type === VARINT || type === LENGTH ? varint() : 0
    const start = at
    at += type === VARINT ? 0 : type === LENGTH ? number : type === BITS64 ? 8 : type === BITS32 ? 4 : Number.NaN
    if (!field) continue
    const [name, [, kind, isRepeated]] = field
    const value = valueOf(kind, number, bytes.subarray(start, at))
    if (isRepeated) (message[name] as Value[]).push(value)
    else message[name] = value
  }
  // Neither cut short, nor with a field of an unknown type.
  if (at !== bytes.length) throw new RangeError('cut short')
  return message
}

function valueOf(kind: Field[1], number: number, bytes: Uint8Array): Value {
  switch (kind) {
    case Kind.Number:
      return number
    case Kind.Flag:
      return number > 0
    case Kind.Text:
      return new TextDecoder().decode(bytes)
    case Kind.Bytes:
      return bytes
    default:
      return read(kind, bytes)
  }
}

function write(table: Table<unknown>, message: Message): number[] {
  const written: number[] = []
  const varint = (value: number) => {
    for (; value > 127; value = Math.floor(value / 128)) written.push((value % 128) | 128)
    written.push(value)
  }
  for (const [name, [number, kind]] of Object.entries(table)) {
    const given = message[name]
    for (const value of Array.isArray(given) ? given : given ? [given] : []) {
      varint(number * 8 + typeOf(kind))
      if (typeof value === 'number' || typeof value === 'boolean') {
        varint(Number(value))
        continue
      }
      const bytes =
        typeof value === 'string'
          ? new TextEncoder().encode(value)
          : value instanceof Uint8Array
            ? value
            : write(kind as Table<unknown>, value)
      varint(bytes.length)
      for (const byte of bytes) written.push(byte)
    }
  }
  return written
}

function typeOf(kind: Field[1]): number {
  return kind === Kind.Number || kind === Kind.Flag ? VARINT : LENGTH
}

/** The types of fields, as above. */
const VARINT = 0
const BITS64 = 1
const LENGTH = 2
const BITS32 = 5

/** What a field that was not sent is read as, by its kind. */
const MISSING = [0, false, '', new Uint8Array()] as const
