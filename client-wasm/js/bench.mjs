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
import { generated } from './build/generated.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const glue = join(here, '../../target/web/glue/engine_bg.js')
const MESSAGE = new Uint8Array(64 << 10)
const ROUNDS = 5
const READABLE = 9
const count = Math.ceil(((Number(process.argv[2]) || 64) * 1e6) / MESSAGE.length)

const { Assembler, Machine } = await engine()
const peers = [true, false].map((initiator) => peer(initiator))
for (const it of peers) it.path = it.machine.pathUp(false)
pump()
const handle = peers[0].machine.open('bench', 2)
round()
const rates = Array.from({ length: ROUNDS }, round).sort((a, b) => a - b)
console.log(`${rates[ROUNDS >> 1].toFixed(0)} MB per CPU second (${rates.map((it) => it.toFixed(0)).join(' ')})`)

/** What drives the module, bundled as build.mjs does, with the module behind it. */
async function engine() {
  const resolve = { name: 'glue', setup: (it) => it.onResolve({ filter: /^#engine$/ }, () => ({ path: glue })) }
  const contents = `export * from './net/machine.js'; export * from './net/door.js'; export * from './net/assembler.js'; export * as glue from '#engine'`
  const stdin = { contents, resolveDir: join(here, 'src') }
  const { outputFiles } = await build({ stdin, bundle: true, format: 'esm', write: false, plugins: [generated(), resolve] })
  const built = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString('base64')}`)
  const module = readFileSync(join(dirname(glue), 'peersox.wasm'))
  const { instance } = await WebAssembly.instantiate(module, { './engine_bg.js': built.glue })
  built.glue.__wbg_set_wasm(instance.exports)
  built.setMemory(instance.exports.memory)
  return built
}

function peer(initiator) {
  const [id, secret] = [new Uint8Array(16).fill(1), new Uint8Array(32).fill(2)]
  const machine = new Machine(id, initiator, secret, undefined, 'bench')
  return { machine, assembler: new Assembler(machine, 64 << 20), readable: new Set(), path: 0 }
}

/** Carries frames until there are none. */
function pump() {
  for (let moved = true; moved; ) {
    moved = false
    for (const [from, to] of [peers, peers.toReversed()]) {
      for (let frame; (frame = from.machine.transmit(from.path)?.slice()); moved = true) to.machine.take(to.path, frame)
    }
    for (const { machine, readable } of peers) {
      for (let news; (news = machine.poll()); ) if (news.told === READABLE) readable.add(news.a)
    }
  }
}

function round() {
  const began = process.cpuUsage()
  const [from, to] = peers
  for (let sent = 0, taken = 0; taken < count; ) {
    while (sent < count && from.machine.send(handle, false, MESSAGE)) sent++
    pump()
    for (const it of to.readable) while (to.assembler.next(it) !== undefined) taken++
    to.readable.clear()
    pump()
  }
  const { user, system } = process.cpuUsage(began)
  return (count * MESSAGE.length) / (user + system)
}
