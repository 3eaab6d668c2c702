// What the engine does per second: two machines in one process, as scripts/web built them, without a network.
//
// usage: node client-wasm/js/bench.mjs [MEGABYTES]
//
// Prints megabytes per second of processor time, sealed by one and opened by the other in messages of 64 KiB: the
// median of five rounds after one to warm up.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const glueFolder = join(dirname(fileURLToPath(import.meta.url)), '../../target/web/glue')
const MESSAGE = new Uint8Array(64 << 10)
const ROUNDS = 5
const READABLE = 9
const count = Math.ceil(((Number(process.argv[2]) || 64) * 1e6) / MESSAGE.length)

const { Machine } = await engine()
const peers = [true, false].map((initiator) => peer(initiator))
for (const it of peers) it.path = it.machine.pathUp(false)
pump()
const handle = peers[0].machine.open('bench', 2)
round()
const rates = Array.from({ length: ROUNDS }, round).sort((a, b) => a - b)
console.log(`${rates[ROUNDS >> 1].toFixed(0)} MB per CPU second (${rates.map((it) => it.toFixed(0)).join(' ')})`)

/** The glue, which Node would take for CommonJS, with the module behind it. */
async function engine() {
  const entryPoints = [join(glueFolder, 'engine_bg.js')]
  const { outputFiles } = await build({ entryPoints, bundle: true, format: 'esm', write: false })
  const glue = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString('base64')}`)
  const module = readFileSync(join(glueFolder, 'peersox.wasm'))
  const { instance } = await WebAssembly.instantiate(module, { './engine_bg.js': glue })
  glue.__wbg_set_wasm(instance.exports)
  instance.exports.__wbindgen_start()
  return glue
}

function peer(initiator) {
  const [id, secret] = [new Uint8Array(16).fill(1), new Uint8Array(32).fill(2)]
  const machine = new Machine(id, initiator, secret, '', 'bench', 64 << 20)
  const readable = new Set()
  const tell = (told, handle) => told === READABLE && readable.add(handle)
  return { machine, readable, path: 0, listener: { tell, signal() {} } }
}

/** Carries frames until there are none. */
function pump() {
  for (let moved = true; moved; ) {
    moved = false
    for (const [from, to] of [peers, peers.toReversed()]) {
      let frame
      const sink = { send: (bytes) => (frame = bytes.slice()) }
      while (from.machine.transmit(from.path, sink) > 0) {
        to.machine.take(to.path, frame)
        moved = true
      }
    }
    for (const it of peers) it.machine.poll(it.listener)
  }
}

function round() {
  const began = process.cpuUsage()
  const [from, to] = peers
  for (let sent = 0, taken = 0; taken < count; ) {
    while (sent < count && from.machine.sendBytes(handle, MESSAGE)) sent++
    pump()
    for (const it of to.readable) while (to.machine.read(it) !== undefined) taken++
    to.readable.clear()
    pump()
  }
  const { user, system } = process.cpuUsage(began)
  return (count * MESSAGE.length) / (user + system)
}
