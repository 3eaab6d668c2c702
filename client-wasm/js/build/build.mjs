// The last steps of scripts/web: the glue and the facade made into files that people load.
//
//   target/web/npm    the npm package: peersox.js with the module inside, slim.js beside peersox.wasm, types;
//                     each with a file for transfers that it loads when it needs it, *-transfer.js, and its module;
//                     and a source map for each file of JavaScript
//   target/web/page   slim.js, as peersox.js, and what it loads, for a page on the same server
//
// Prints what a page has to load, and fails if that is more than the budget.

import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { declare } from './declare.mjs'
import { generated } from './generated.mjs'

/** The folder of the package. */
const here = join(dirname(fileURLToPath(import.meta.url)), '..')
const root = join(here, '../..')
const glue = join(root, 'target/web/glue')
const npm = join(root, 'target/web/npm')
const page = join(root, 'target/web/page')

/** Everything a page may load to talk, gzipped, in bytes. docs/size.md says what of. */
const BUDGET = 84_740
const manifest = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'))
/** What this build is called; scripts/web has given it. */
const BUILD = readFileSync(join(glue, 'build'), 'utf8').trim()
const common = {
  bundle: true,
  define: { VERSION: JSON.stringify(manifest.version), BUILD: JSON.stringify(BUILD) },
  target: 'es2022',
  minify: true,
  legalComments: 'none',
  write: false,
  sourcemap: 'linked',
  // Node prints the whole line in which an error was thrown.
  lineLimit: 1000,
  metafile: true,
}
const NOTICE = '/*! peersox, MIT OR Apache-2.0 */'
/** What links a file to its source map. */
const MAPPED = /\/\/# sourceMappingURL=.*\n/

const engine = made('peersox', 'engine')
const transfer = made('peersox-transfer', 'transfer')

await rebuild()

async function rebuild() {
  for (const directory of [npm, page]) {
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory, { recursive: true })
  }
  types()
  const slim = await bundle('slim.ts', 'slim')
  const whole = await bundle('index.ts', 'peersox')
  const transfers = await transferChunk()
  const webtransport = await make({
    entryPoints: [join(here, 'src/net/webtransport.ts')],
    outfile: join(npm, 'webtransport.js'),
    format: 'esm',
    banner: { js: NOTICE },
  })
  const twice = [slim, whole].flatMap(({ inputs }) => inputs.filter((it) => transfers.inputs.includes(it)))
  if (twice.length > 0) throw new Error(`${twice} would be loaded twice: hand it over by shared.ts`)
  write('slim', slim)
  write('peersox', whole)
  write('slim-transfer', transfers)
  write('webtransport', webtransport)
  const inlined = `export const deflated="${deflated(transfer.wasm).replace(/.{1000}/g, '$&\\\n')}";\n`
  write('peersox-transfer', { ...transfers, text: transfers.text.replace(MAPPED, `${inlined}$&`) })
  writeFileSync(join(npm, 'peersox.wasm'), engine.wasm)
  writeFileSync(join(npm, 'peersox-transfer.wasm'), transfer.wasm)
  cpSync(join(here, 'README.md'), join(npm, 'README.md'))
  for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) cpSync(join(root, licence), join(npm, licence))

  for (const [from, to] of [['slim.js', 'peersox.js'], ['slim-transfer.js', 'slim-transfer.js'], ['webtransport.js', 'webtransport.js']]) {
    writeFileSync(join(page, to), readFileSync(join(npm, from), 'utf8').replace(MAPPED, ''))
  }
  for (const file of ['peersox.wasm', 'peersox-transfer.wasm']) cpSync(join(npm, file), join(page, file))
  report()
  // Last: scripts/page takes it for the sign that all of this is built, and within its budget.
  const { devDependencies: _, ...published } = manifest
  writeFileSync(join(npm, 'package.json'), `${JSON.stringify(published, null, 2)}\n`)
}

/** A module and its glue. */
function made(module, name) {
  return { wasm: readFileSync(join(glue, `${module}.wasm`)), glue: readFileSync(join(glue, `${name}_bg.js`), 'utf8') }
}

function types() {
  declare()
  const out = join(npm, 'types')
  const tsc = join(here, 'node_modules/.bin/tsc')
  execFileSync(tsc, ['--project', here, '--outDir', out], { stdio: 'inherit' })
  // What no entry mentions is nobody's business.
  const reached = new Set()
  const visit = (file) => {
    if (reached.has(file)) return
    reached.add(file)
    const text = readFileSync(file, 'utf8')
    for (const [, next] of text.matchAll(/from '(\.[\w/.-]+)\.js'/g)) visit(join(dirname(file), `${next}.d.ts`))
  }
  visit(join(out, 'index.d.ts'))
  visit(join(out, 'slim.d.ts'))
  for (const it of readdirSync(out, { recursive: true, withFileTypes: true })) {
    const file = join(it.parentPath ?? it.path, it.name)
    if (it.isFile() && !reached.has(file)) rmSync(file)
  }
}

/** Everything but transfers; NAME is that of the file. */
async function bundle(entry, name) {
  const plugin = {
    name: 'engine',
    setup(it) {
      it.onResolve({ filter: /^#engine$/ }, () => ({ path: 'engine', namespace: 'glue', sideEffects: false }))
      it.onLoad({ filter: /.*/, namespace: 'glue' }, () => ({ contents: engine.glue }))
      it.onResolve({ filter: /^#wasm$/ }, () => ({ path: 'wasm', namespace: 'wasm' }))
      it.onLoad({ filter: /.*/, namespace: 'wasm' }, () => ({ contents: deflated(engine.wasm), loader: 'text' }))
      // A name that every bundler understands.
      it.onResolve({ filter: /^#transfers$/ }, () => ({ path: `./${name}-transfer.js`, external: true }))
      it.onResolve({ filter: /^#webtransport$/ }, () => ({ path: './webtransport.js', external: true }))
    },
  }
  const banner = { js: NOTICE }
  return make({ entryPoints: [join(here, 'src', entry)], outfile: join(npm, `${name}.js`), format: 'esm', banner, plugins: [generated(), plugin] })
}

/** Transfers as a function of what they share with the main file, so that they need not import it. */
async function transferChunk() {
  const plugin = {
    name: 'handed over',
    setup(it) {
      it.onResolve({ filter: /^#transfer$/ }, () => ({ path: 'transfer', namespace: 'glue', sideEffects: false }))
      it.onLoad({ filter: /.*/, namespace: 'glue' }, () => ({ contents: transfer.glue }))
      it.onResolve({ filter: /^\.\/shared\.js$/ }, () => ({ path: 'shared', namespace: 'shared' }))
      it.onLoad({ filter: /.*/, namespace: 'shared' }, () => ({ contents: 'module.exports = shared' }))
    },
  }
  const check = `if(build!==${JSON.stringify(BUILD)})throw Error("this file is of another build than the one that loads it");`
  return make({
    entryPoints: [join(here, 'src/transfer/transfers.ts')],
    outfile: join(npm, 'slim-transfer.js'),
    format: 'iife',
    globalName: 'transfers',
    banner: { js: `${NOTICE}\nexport default(shared,build)=>{${check}` },
    footer: { js: 'return transfers};' },
    plugins: [generated(), plugin],
  })
}

/** What comes of it, its source map, and the files that it is made of. */
async function make(options) {
  const { outputFiles, metafile } = await build({ ...common, ...options })
  const [, output] = Object.entries(metafile.outputs).find(([file]) => file.endsWith('.js'))
  const inputs = Object.entries(output.inputs).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? [file] : []))
  const text = (end) => outputFiles.find(({ path }) => path.endsWith(end)).text
  return { text: text('.js'), map: JSON.parse(text('.map')), inputs }
}

function write(name, { text, map }) {
  writeFileSync(join(npm, `${name}.js`), text.replace(MAPPED, `//# sourceMappingURL=${name}.js.map\n`))
  // The module, which nobody reads, is not written a second time. Paths are those of the repository.
  const sources = map.sources.map((it) => it.replace(/^(\.\.\/)+/, ''))
  const sourcesContent = map.sourcesContent.map((it, at) => (sources[at].startsWith('wasm:') ? null : it))
  writeFileSync(join(npm, `${name}.js.map`), JSON.stringify({ ...map, file: `${name}.js`, sources, sourcesContent }))
}

/** As `inlined.ts` takes it. */
function deflated(bytes) {
  return execFileSync(join(root, 'target/tools/debug/peersox-zopfli'), ['deflate'], { input: bytes }).toString('base64')
}

function report() {
  const rows = [
    ['peersox.js, all in one', [join(npm, 'peersox.js')]],
    ['slim.js + peersox.wasm', [join(npm, 'slim.js'), join(npm, 'peersox.wasm')]],
    ['  slim.js', [join(npm, 'slim.js')]],
    ['  peersox.wasm', [join(npm, 'peersox.wasm')]],
    ['transfers, all in one', [join(npm, 'peersox-transfer.js')]],
    ['WebTransport', [join(npm, 'webtransport.js')]],
    ['transfers, slim', [join(npm, 'slim-transfer.js'), join(npm, 'peersox-transfer.wasm')]],
    ['  slim-transfer.js', [join(npm, 'slim-transfer.js')]],
    ['  peersox-transfer.wasm', [join(npm, 'peersox-transfer.wasm')]],
  ]
  const sizes = rows.map(([name, files]) => {
    const parts = files.map((file) => readFileSync(file))
    const sum = (size) => parts.reduce((total, part) => total + size(part), 0)
    return {
      name,
      raw: sum((it) => it.length),
      gzip: sum((it) => gzipSync(it, { level: 9 }).length),
      brotli: sum((it) => brotliCompressSync(it).length),
    }
  })
  const column = (number) => String(number).padStart(9)
  console.log(`${'bytes'.padEnd(24)}${['raw', 'gzip', 'brotli'].map((it) => it.padStart(9)).join('')}`)
  for (const it of sizes) console.log(it.name.padEnd(24) + column(it.raw) + column(it.gzip) + column(it.brotli))
  writeFileSync(join(root, 'target/web/sizes.json'), `${JSON.stringify(sizes, null, 2)}\n`)
  const least = Math.min(sizes[0].gzip, sizes[1].gzip)
  const most = Math.max(sizes[0].gzip, sizes[1].gzip)
  // With names in it the module is of no use to anybody else.
  if (most > BUDGET && !process.env.PEERSOX_WASM_NAMES) {
    console.error(`error: a page would load ${least} to ${most} bytes, more than ${BUDGET}`)
    process.exit(1)
  }
}
