/**
 * The one way into the module: numbers and bytes.
 *
 *     room(length) ─► where the bytes of the next call go
 *     call(machine, op, now, a, b, c) ─► where the reply is: number, a, b, c, where its bytes are, how many
 *
 * The methods of `#ops` call it, which build/ops.mjs makes of `client-wasm/engine.ops`. Bytes of a reply are the
 * module's memory, and good until the next call.
 *
 * @internal
 * @packageDocumentation
 */

import * as engine from '#engine'
import { FAULTS } from '#tables'
import { failure } from './failure.js'

let memory: WebAssembly.Memory
/** The clock of the module and of its timers. A test sets another one. */
export let clock = (): number => performance.now()
/** What the latest call gave: number, a, b, c, and where its bytes are. It is at the same address every time. */
export let reply = new Float64Array()

/** Says where the module's memory is. */
export function setMemory(it: WebAssembly.Memory): void {
  memory = it
}

/** Has another clock tell the time. */
export function setClock(it: () => number): void {
  clock = it
}

/** Does an operation; gives the number of its reply. Throws an error of `errors.ts` if it fails. */
export function call(machine: number, op: number, a = 0, b = 0, c = 0, bytes?: Uint8Array): number {
  // Each of both may make the memory grow: then it has another buffer, and whoever showed the old one shows nothing.
  if (bytes) {
    const at = engine.room(bytes.length)
    new Uint8Array(memory.buffer, at, bytes.length).set(bytes)
  }
  const at = engine.call(machine, op, clock(), a, b, c)
  if (reply.length === 0) reply = new Float64Array(memory.buffer, at, 6)
  const number = reply[0]!
  if (!Number.isNaN(number)) return number
  throw failure(FAULTS[reply[1]!] ?? 'protocol', toText(lent()))
}

/** The bytes of the latest reply; lent. */
export function lent(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(memory.buffer as ArrayBuffer, reply[4], reply[5])
}

/** Several texts and bytes in one, each behind its length. */
export function joined(...parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, it) => sum + PREFIX + it.length, 0))
  let at = 0
  for (const part of parts) {
    new DataView(bytes.buffer).setUint32(at, part.length, true)
    bytes.set(part, at + PREFIX)
    at += PREFIX + part.length
  }
  return bytes
}

/** The texts of a reply that has several. */
export function texts(bytes: Uint8Array): string[] {
  const found: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0, true)
    at += PREFIX
    found.push(toText(bytes.subarray(at, at + length)))
    at += length
  }
  return found
}

/** Bytes of a length. */
const PREFIX = 4

/** Text of the module; what is not UTF-8 in it shows as replacement characters. */
export function toText(bytes: Uint8Array): string {
  decoder ??= new TextDecoder('utf-8', { ignoreBOM: true })
  return decoder.decode(bytes)
}

export function utf8(text: string): Uint8Array {
  encoder ??= new TextEncoder()
  return encoder.encode(text)
}

// Made when they are needed: environments of tests lack them, and have to be able to import the package.
let decoder: TextDecoder | undefined
let encoder: TextEncoder | undefined
