// Builds the page that `peersox serve` shows, from `src` and the npm package, into target/web/site:
//
//   index.html                 asked for again each time
//   assets/NAME-DIGEST.ENDING  kept for ever
//   *.br, *.gz                 the same, compressed
//   embed.txt                  what cli/build.rs puts into the binary: path, type, digest, file

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants } from 'node:zlib'
import { build, transform } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')
const npm = join(root, 'target/web/npm')
const site = join(root, 'target/web/site')
/** Built by scripts/web. */
const zopfli = join(root, 'target/tools/debug/peersox-zopfli')

const KINDS = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
  webmanifest: 'application/manifest+json',
  wasm: 'application/wasm',
}

const parts = []

execFileSync(join(here, 'node_modules/.bin/tsc'), ['--project', here], { stdio: 'inherit' })
// Emptied, not removed: cargo watches the directory.
mkdirSync(join(site, 'assets'), { recursive: true })
rmSync(join(site, 'assets'), { recursive: true, force: true })
mkdirSync(join(site, 'assets'))

const wasm = asset('peersox', 'wasm', readFileSync(join(npm, 'peersox.wasm')))
const transferWasm = asset('transfer', 'wasm', readFileSync(join(npm, 'peersox-transfer.wasm')))
const transferScript = asset('transfer', 'js', readFileSync(join(npm, 'slim-transfer.js')))
const webtransportScript = asset('webtransport', 'js', readFileSync(join(npm, 'webtransport.js')))
const worker = asset('worker', 'js', await bundle('worker.ts', 'iife', {}))
const urls = { WASM_URL: wasm, TRANSFER_WASM_URL: transferWasm, WORKER_URL: worker }
const script = asset('page', 'js', await bundle('main.ts', 'esm', urls))
const css = await transform(readFileSync(join(here, 'page.css'), 'utf8'), { loader: 'css', minify: true })
const style = asset('page', 'css', Buffer.from(css.code))
const icon = asset('icon', 'svg', readFileSync(join(here, 'icon.svg')))
// Addresses in it are relative to itself: the page is above it, the icon beside it.
const about = JSON.parse(readFileSync(join(here, 'manifest.json'), 'utf8'))
about.icons = about.icons.map((it) => ({ ...it, src: icon.replace('assets/', '') }))
const manifest = asset('manifest', 'webmanifest', Buffer.from(JSON.stringify(about)))
const names = { wasm, script, style, icon, manifest }
const html = readFileSync(join(here, 'index.html'), 'utf8').replace(/%(\w+)%/g, (_, name) => names[name])
part('/', 'index.html', Buffer.from(html))
writeFileSync(join(site, 'embed.txt'), parts.map((it) => `${it.join('\t')}\n`).join(''))

async function bundle(entry, format, urls) {
  const result = await build({
    entryPoints: [join(here, 'src', entry)],
    write: false,
    bundle: true,
    format,
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    alias: { peersox: join(npm, 'slim.js') },
    plugins: [
      {
        name: 'later',
        // Loaded when they are needed, from where they are served.
        setup(it) {
          const served = (script) => () => ({ path: `./${script.replace('assets/', '')}`, external: true })
          it.onResolve({ filter: /\/slim-transfer\.js$/ }, served(transferScript))
          it.onResolve({ filter: /\/webtransport\.js$/ }, served(webtransportScript))
        },
      },
    ],
    define: Object.fromEntries(Object.entries(urls).map(([name, url]) => [name, JSON.stringify(url)])),
  })
  return Buffer.from(result.outputFiles[0].contents)
}

/** A part whose name changes with its content. */
function asset(name, ending, content) {
  const path = `assets/${name}-${digest(content)}.${ending}`
  part(`/${path}`, path, content)
  // Relative to the page, which a proxy may serve below a path.
  return path
}

function part(path, file, content) {
  writeFileSync(join(site, file), content)
  writeFileSync(join(site, `${file}.gz`), execFileSync(zopfli, ['gzip'], { input: content }))
  const params = { [constants.BROTLI_PARAM_SIZE_HINT]: content.length }
  writeFileSync(join(site, `${file}.br`), brotliCompressSync(content, { params }))
  parts.push([path, KINDS[file.split('.').at(-1)], digest(content), file])
}

function digest(content) {
  return createHash('sha256').update(content).digest('hex').slice(0, 12)
}
