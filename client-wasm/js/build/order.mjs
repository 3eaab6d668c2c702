// Puts the functions of a WebAssembly module in an order that compresses well: like beside like, as gzip looks back no
// more than 32 KiB. Nothing else changes.
//
// usage: node client-wasm/js/build/order.mjs MODULE OUT [OPTION OF wasm-opt...]
//
// MODULE has names; OUT has none. Greedy: after each function comes the one that has the most in common with the
// latest ones, for its length.

import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Instructions in a row that count as something in common. */
const RUN = 3
/** What many functions have in common says little, and costs time. */
const COMMON = 200
/** How much less the function before the latest one counts. */
const DECAY = 0.9

const here = dirname(fileURLToPath(import.meta.url))
const [module, out, ...options] = process.argv.slice(2)
const maxBuffer = 1 << 30
const wasmOpt = (args, input) =>
  execFileSync(join(here, '../node_modules/.bin/wasm-opt'), ['--quiet', ...options, ...args], { input, maxBuffer, encoding: 'utf8' })

const text = wasmOpt([module, '--emit-text', '--output', '-'])
const functions = [...text.matchAll(/^ \(func (\$"(?:[^"\\]|\\.)*"|\$[^\s()]+)(.*?)^ \)$/gms)].map(([, name, body]) => {
  const lines = body.split('\n').map((it) => it.trim())
  const runs = new Set(lines.map((_, at) => lines.slice(at, at + RUN).join(' ')))
  return { name, runs, length: lines.length }
})
const ranks = new Map(order().map(({ name }, rank) => [name, `$${String(rank).padStart(6, '0')}`]))
const renamed = text.replace(/\$"(?:[^"\\]|\\.)*"|\$[^\s()"]+/g, (name) => ranks.get(name) ?? name)
wasmOpt(['-', '--reorder-functions-by-name', '--strip-debug', '--output', out], renamed)

function order() {
  const owners = new Map()
  for (const it of functions) for (const run of it.runs) owners.set(run, [...(owners.get(run) ?? []), it])
  const left = new Set(functions)
  const scores = new Map(functions.map((it) => [it, 0]))
  const ordered = []
  let next = functions.reduce((a, b) => (b.length > a.length ? b : a))
  while (next) {
    ordered.push(next)
    left.delete(next)
    for (const it of left) scores.set(it, scores.get(it) * DECAY)
    for (const run of next.runs) {
      const sharing = owners.get(run)
      if (sharing.length <= COMMON) for (const it of sharing) scores.set(it, scores.get(it) + 1 / sharing.length)
    }
    const worth = (it) => scores.get(it) / Math.sqrt(it.length)
    next = undefined
    for (const it of left) if (!next || worth(it) > worth(next)) next = it
  }
  return ordered
}
