// Which names of properties others know; the bundler shortens the rest.

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The names that must stay: the platform's, as far as the compiler knows it; those in the published types; those by
 * which modules of WebAssembly import and export; and exports, which are reached as properties as well. What else
 * somebody else has named is written in quotes.
 */
export function knownNames({ project, types, linked, sources }) {
  const tsc = join(project, 'node_modules/.bin/tsc')
  const compiled = execFileSync(tsc, ['--project', project, '--listFilesOnly'], { encoding: 'utf8' }).split('\n')
  const declarations = [...compiled.filter((file) => /\/lib\.[\w.]+\.d\.ts$/.test(file)), ...files(types, /\.d\.ts$/)]
  const modules = linked.map(({ wasm }) => new WebAssembly.Module(wasm))
  const symbols = modules.flatMap((it) => [...WebAssembly.Module.imports(it), ...WebAssembly.Module.exports(it)])
  const exporting = [...sources, ...linked.map(({ glue }) => glue)]
  return [
    ...declarations.flatMap((file) => text(file).replace(/\/\*.*?\*\//gs, '').match(/[\w$]+/g)),
    ...exporting.flatMap((text) => [...text.matchAll(EXPORT)].map(([, name]) => name)),
    ...symbols.map(({ name }) => name),
  ]
}

/** Fails if a member that the published types promise is in none of the files. */
export function checkPromises(types, outputs) {
  const there = new Set(outputs.flatMap((file) => text(file).match(/[\w$]+/g)))
  for (const file of files(types, /\.d\.ts$/)) {
    const members = [...text(file).matchAll(/^ +(?:(?:static|readonly|get|set|abstract) )*(\w+)\??[:(<]/gm)]
    const lost = members.map(([, name]) => name).filter((name) => !there.has(name))
    if (lost.length > 0) throw new Error(`${file} promises what is nowhere: ${lost}`)
  }
}

const EXPORT = /^ *export (?:async |abstract )?(?:function\*?|class|const|let) (\w+)/gm

function files(folder, pattern) {
  return readdirSync(folder, { recursive: true }).flatMap((file) => (pattern.test(file) ? [join(folder, file)] : []))
}

function text(file) {
  return readFileSync(file, 'utf8')
}
