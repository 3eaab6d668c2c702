// Runs the unit tests of the npm package: test/*.test.mjs in Node, without a browser.
//
//   test/NAME.test.mjs + src ── esbuild ──► target/web/test/NAME.test.mjs ── node --test
//
// usage: node client-wasm/js/build/test.mjs [--without-module] [WORD...]
//
// With words, only the files whose names hold one of them run. `#engine` and `#transfer`, the glue of the modules, are
// test/engine.mjs and test/transfer.mjs: memory and machines that a test scripts. engine.test.mjs needs the module that
// scripts/web built from the present sources, in target/web/glue; --without-module skips it.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { generated } from './generated.mjs'

const here = join(dirname(fileURLToPath(import.meta.url)), '..')
const out = join(here, '../../target/web/test')
const words = process.argv.slice(2).filter((it) => it !== '--without-module')
const glue = process.argv.includes('--without-module') ? '' : join(here, '../../target/web/glue')
const vectors = process.env.PEERSOX_VECTORS ?? join(here, '../../tests/vectors/endpoint.json')
const names = readdirSync(join(here, 'test')).filter((it) => it.endsWith('.test.mjs'))
const chosen = names.filter((it) => words.length === 0 || words.some((word) => it.includes(word)))
if (chosen.length === 0) throw new Error(`no test is called ${words}`)

const scripted = {
  name: 'scripted',
  setup: (it) => it.onResolve({ filter: /^#(engine|transfer)$/ }, ({ path }) => ({ path: join(here, `test/${path.slice(1)}.mjs`) })),
}
rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
await build({
  entryPoints: chosen.map((it) => join(here, 'test', it)),
  outdir: out,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: 'inline',
  packages: 'external',
  define: { VERSION: '"0.0.0"', BUILD: '"test"', GLUE: JSON.stringify(glue), VECTORS: JSON.stringify(vectors) },
  plugins: [generated(), scripted],
})
const files = chosen.map((it) => join(out, it))
const { status } = spawnSync(process.execPath, ['--enable-source-maps', '--test', '--test-reporter=spec', ...files], { stdio: 'inherit' })
process.exitCode = status ?? 1
