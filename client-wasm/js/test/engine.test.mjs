// The real module, as scripts/web built it: two machines in one process, without a network.

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { script, memory as scripted } from '#engine'
import { makeCode, parseCode } from '#ops'
import { Told } from '#tables'
import { setMemory } from '../src/net/door.js'
import { Assembler } from '../src/net/assembler.js'
import { Machine } from '../src/net/machine.js'

const file = join(GLUE, 'peersox.wasm')
const skip = GLUE === '' || !existsSync(file) ? 'the module is not built' : false
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

test('codes are made and read, and what is none has the code of that', { skip }, async () => {
  await real()
  const code = makeCode('481920', 2)
  assert.match(code, /^481920-[a-z]+-[a-z]+$/)
  assert.equal(parseCode(code.toUpperCase().replaceAll('-', ' ')), code)
  assert.throws(() => parseCode('hello'), { code: 'code-malformed' })
  assert.throws(() => new Machine(new Uint8Array(16), true, Uint8Array.of(1), undefined, ''), { code: 'pairing-invalid' })
})

test('two machines agree on keys, and a message crosses in order', { skip }, async () => {
  await real()
  const peers = [true, false].map((isInitiator) => peer(isInitiator))
  for (const it of peers) it.path = it.machine.pathUp(false)
  pump(peers)
  assert.deepEqual(peers.map((it) => it.machine.secured()), [true, true])
  assert.equal(peers[0].told.has(Told.Connected), true)
  const handle = peers[0].machine.open('chat', 1)
  assert.equal(peers[0].machine.send(handle, true, new TextEncoder().encode('grün')), true)
  pump(peers)
  const [opened] = peers[1].told.get(Told.Opened)
  assert.deepEqual([opened.b, opened.text], [1, 'chat'])
  assert.equal(new Assembler(peers[1].machine, 100).next(opened.a), 'grün')
  assert.throws(() => peers[0].machine.send(999, true, new Uint8Array(1)), { code: 'channel-reset' })
})

test('codes that differ end both sides with that code', { skip }, async () => {
  await real()
  const peers = [peer(true, '481920-tulip-ember'), peer(false, '481920-tulip-tulip')]
  for (const it of peers) it.path = it.machine.pathUp(false)
  assert.throws(() => pump(peers), { code: 'code-mismatch' })
})

/** What the scripted glue does with a call is what the real one does. */
async function real() {
  const glue = await (started ??= start())
  setMemory(scripted)
  script.answer = ({ machine, op, now, a, b, bytes }) => {
    // The memory has another buffer once it has grown.
    const given = bytes.length > 0 ? glue.room(bytes.length) : 0
    new Uint8Array(exports.memory.buffer, given, bytes.length).set(bytes)
    const reply = glue.call(machine, op, now, a, b)
    const [number, x, y, at, length] = new Float64Array(exports.memory.buffer, reply, 5)
    return { number, a: x, b: y, bytes: new Uint8Array(exports.memory.buffer, at, length) }
  }
}

function peer(isInitiator, code) {
  const secret = code ? undefined : new Uint8Array(32).fill(2)
  return { machine: new Machine(new Uint8Array(16).fill(1), isInitiator, secret, code, 'me'), told: new Map(), path: 0 }
}

/** Carries frames until there are none. */
function pump(peers) {
  for (let moved = true; moved; ) {
    moved = false
    for (const [from, to] of [peers, peers.toReversed()]) {
      for (let frame; (frame = from.machine.transmit(from.path)?.slice()); moved = true) to.machine.take(to.path, frame)
      for (let it; (it = from.machine.poll()); ) {
        const news = { a: it.a, b: it.b, text: Buffer.from(it.bytes).toString() }
        from.told.set(it.told, [...(from.told.get(it.told) ?? []), news])
      }
    }
  }
}
