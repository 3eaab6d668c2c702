// Stands for the glue of the engine, `#engine`: a memory and a call that a test scripts.

export const memory = new WebAssembly.Memory({ initial: 1 })

/** Where the reply lies, and where the bytes of a call go. */
const REPLY = 8
const GIVEN = 4_096
const LENT = 16_384

let given = new Uint8Array()
/** What the engine does with a call: gives `{ number, a, b, bytes }`. A test sets it. */
export const script = { answer: () => ({ number: 0 }) }

export function __wbg_set_wasm() {}

export function room(length) {
  given = { length }
  return GIVEN
}

export function call(machine, op, now, a, b, c) {
  const bytes = new Uint8Array(memory.buffer, GIVEN, given.length).slice()
  given = { length: 0 }
  const reply = script.answer({ machine, op, now, a, b, c, bytes })
  const lent = typeof reply.bytes === 'string' ? new TextEncoder().encode(reply.bytes) : (reply.bytes ?? new Uint8Array())
  new Uint8Array(memory.buffer, LENT, lent.length).set(lent)
  new Float64Array(memory.buffer, REPLY, 6).set([reply.number, reply.a ?? 0, reply.b ?? 0, reply.c ?? 0, LENT, lent.length])
  return REPLY
}
