// Builds the page that `peersox serve` shows, from `src` and the npm package, into target/web/site:
//
//   index.html                 asked for again each time
//   service.js                 the same: the service worker, which knows the digest of every part
//   assets/NAME-DIGEST.ENDING  kept for ever
//   *.br, *.gz                 the same, compressed; not of pictures, which are
//   embed.txt                  what cli/build.rs puts into the binary: path, type, digest, file

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants } from 'node:zlib'
import { initWasm, Resvg } from '@resvg/resvg-wasm'
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
  png: 'image/png',
  webmanifest: 'application/manifest+json',
  wasm: 'application/wasm',
}

const parts = []
/** What the page loads when it is needed: the names of modules, and where they are served. */
const later = {}

execFileSync(join(here, 'node_modules/.bin/tsc'), ['--project', here], { stdio: 'inherit' })
// Emptied, not removed: cargo watches the directory.
mkdirSync(join(site, 'assets'), { recursive: true })
rmSync(join(site, 'assets'), { recursive: true, force: true })
mkdirSync(join(site, 'assets'))

const wasm = asset('peersox', 'wasm', readFileSync(join(npm, 'peersox.wasm')))
const transferWasm = asset('transfer', 'wasm', readFileSync(join(npm, 'peersox-transfer.wasm')))
later['slim-transfer'] = asset('transfer', 'js', readFileSync(join(npm, 'slim-transfer.js')))
later['webtransport'] = asset('webtransport', 'js', readFileSync(join(npm, 'webtransport.js')))
const worker = asset('worker', 'js', await bundle('worker.ts', 'iife', {}))
const urls = { WASM_URL: wasm, TRANSFER_WASM_URL: transferWasm, WORKER_URL: worker }
for (const name of ['scan', 'zip']) later[name] = asset(name, 'js', await bundle(`${name}.ts`, 'esm', {}))
const script = asset('page', 'js', await bundle('main.ts', 'esm', urls))
const css = await transform(readFileSync(join(here, 'page.css'), 'utf8'), { loader: 'css', minify: true })
const style = asset('page', 'css', Buffer.from(css.code))
const drawing = readFileSync(join(here, 'icon.svg'), 'utf8')
const icon = asset('icon', 'svg', Buffer.from(drawing))
const about = JSON.parse(readFileSync(join(here, 'manifest.json'), 'utf8'))
await initWasm(readFileSync(join(here, 'node_modules/@resvg/resvg-wasm/index_bg.wasm')))
const touch = asset('touch', 'png', picture(180, 0.72))
const icons = [
  { src: icon, sizes: 'any', type: KINDS.svg, purpose: 'any' },
  ...[192, 512].map((size) => ({ src: asset(`icon-${size}`, 'png', picture(size, 1)), sizes: `${size}x${size}`, type: KINDS.png, purpose: 'any' })),
  // Systems cut a maskable icon into a shape of theirs: what matters lies within 80 percent.
  { src: asset('icon-cut', 'png', picture(512, 0.6)), sizes: '512x512', type: KINDS.png, purpose: 'maskable' },
]
// Addresses in it are relative to itself: the page is above it, the icons beside it.
about.icons = icons.map((it) => ({ ...it, src: it.src.replace('assets/', '') }))
const manifest = asset('manifest', 'webmanifest', Buffer.from(JSON.stringify(about)))
const names = { wasm, script, style, icon, touch, manifest }
const html = readFileSync(join(here, 'index.html'), 'utf8').replace(/%(\w+)%/g, (_, name) => names[name])
part('/', 'index.html', Buffer.from(html))
const shell = parts.filter(([, , , file]) => !file.endsWith('.png')).map(([path, , digest]) => [`.${path}`, digest])
part('/service.js', 'service.js', await bundle('service.ts', 'iife', { PARTS: shell, VERSION: digest(JSON.stringify(shell)) }))
writeFileSync(join(site, 'embed.txt'), parts.map((it) => `${it.join('\t')}\n`).join(''))

/** The drawing as a square picture; where it does not fill it, on paper. */
function picture(size, share) {
  const [edge, inner] = [48 / share, drawing.replace(/<\/?svg[^>]*>/g, '')]
  const at = (edge - 48) / 2
  const paper = share < 1 ? `<path fill="${about.background_color}" d="M0 0h${edge}v${edge}H0z"/>` : ''
  const square = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${edge} ${edge}">${paper}<g transform="translate(${at} ${at})">${inner}</g></svg>`
  return Buffer.from(new Resvg(square, { fitTo: { mode: 'width', value: size } }).render().asPng())
}

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
        setup(it) {
          for (const [name, script] of Object.entries(later)) {
            it.onResolve({ filter: new RegExp(`/${name}\\.js$`) }, () => ({ path: `./${script.replace('assets/', '')}`, external: true }))
          }
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
  parts.push([path, KINDS[file.split('.').at(-1)], digest(content), file])
  if (file.endsWith('.png')) return
  writeFileSync(join(site, `${file}.gz`), execFileSync(zopfli, ['gzip'], { input: content }))
  const params = { [constants.BROTLI_PARAM_SIZE_HINT]: content.length }
  writeFileSync(join(site, `${file}.br`), brotliCompressSync(content, { params }))
}

function digest(content) {
  return createHash('sha256').update(content).digest('hex').slice(0, 12)
}
