// The real module, as scripts/web built it, behind the scripted glue.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { script, memory as scripted } from '#engine'
import { setMemory } from '../src/net/door.js'

const file = join(GLUE, 'peersox.wasm')
/** Why tests of the module cannot run, if they cannot. */
export const skip = GLUE === '' || !existsSync(file) ? 'the module is not built' : false
let exports
let started

/** Starts the real module, once: its glue remembers the memory that it saw first. */
async function start() {
  const glue = await import(join(GLUE, 'engine_bg.js'))
  const module = new WebAssembly.Module(readFileSync(file))
  const [{ module: name }] = WebAssembly.Module.imports(module)
  exports = new WebAssembly.Instance(module, { [name]: glue }).exports
  glue.__wbg_set_wasm(exports)
  return glue
}

/** What the scripted glue does with a call is what the real one does. */
export async function real() {
  const glue = await (started ??= start())
  setMemory(scripted)
  script.answer = ({ machine, op, now, a, b, c, bytes }) => {
    // The memory has another buffer once it has grown.
    const given = bytes.length > 0 ? glue.room(bytes.length) : 0
    new Uint8Array(exports.memory.buffer, given, bytes.length).set(bytes)
    const reply = glue.call(machine, op, now, a, b, c)
    const [number, x, y, z, at, length] = new Float64Array(exports.memory.buffer, reply, 6)
    return { number, a: x, b: y, c: z, bytes: new Uint8Array(exports.memory.buffer, at, length) }
  }
}
