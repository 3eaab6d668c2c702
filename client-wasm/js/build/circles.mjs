// Fails if modules of src import each other in a circle, types or values alike.
//
// usage: node client-wasm/js/build/circles.mjs [FOLDER]     src by default
//
// A circle of types does no harm at run time, but whoever reads one of its files has to read all of them. One that has
// a reason is listed in ALLOWED, with the reason.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Imports of types, `FROM → TO`, that may close a circle, and why. */
const ALLOWED = new Map([])

/** What folders may import, types or values, beside their own files; the entries in src itself import what they like. */
const ARROWS = {
  api: ['net', 'transfer'],
  net: ['api/end', 'api/errors', 'api/types'],
  transfer: ['api/channel', 'api/emitter', 'api/errors', 'api/types', 'net/bytes', 'net/failure', 'net/instantiate'],
}

const folder = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '../src')
const imports = new Map(
  readdirSync(folder, { recursive: true })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
    .map((file) => [file.replace(/\.ts$/, ''), importsOf(file)]),
)
const problems = [...circles(), ...wrongArrows()]
for (const it of problems) console.error(`error: ${it}`)
process.exitCode = problems.length > 0 ? 1 : 0

/** The modules that a file imports, named as the file is. */
function importsOf(file) {
  const text = readFileSync(join(folder, file), 'utf8')
  const found = [...text.matchAll(/^(?:import|export)\b[^'"]*?\bfrom '(\.[^']+)\.js'/gm), ...text.matchAll(/import\('(\.[^']+)\.js'\)/g)]
  return found.map(([, to]) => join(dirname(file), to)).filter((to) => `${to}.ts` !== file && !ALLOWED.has(`${file} → ${to}`))
}

/** A depth-first search: whatever leads back to where we are is a circle. */
function* circles() {
  const done = new Set()
  const path = []
  function* visit(module) {
    const at = path.indexOf(module)
    if (at >= 0) yield `a circle of imports: ${[...path.slice(at), module].join(' → ')}`
    if (at >= 0 || done.has(module)) return
    path.push(module)
    for (const next of imports.get(module) ?? []) yield* visit(next)
    path.pop()
    done.add(module)
  }
  for (const module of imports.keys()) yield* visit(module)
}

function* wrongArrows() {
  for (const [module, list] of imports) {
    const [from, ...rest] = module.split('/')
    if (rest.length === 0) continue
    for (const to of list) {
      const allowed = [from, ...ARROWS[from]]
      if (!allowed.some((it) => to === it || to.startsWith(`${it}/`))) yield `${relative('.', module)} may not import ${to}`
    }
  }
}
