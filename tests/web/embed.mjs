// Two pages of an embedder: the package on an origin of its own, and what the checks do with it.

import { join } from 'node:path'
import { here, root, serveFolders } from './harness.mjs'

const web = join(root, 'target/web')
/** `/npm` is the package, `/rust` programs in Rust, `/pages` the pages that embed them. */
export const folders = { npm: join(web, 'npm'), rust: join(web, 'rust'), pages: join(here, 'pages') }

let site
/** The origin that serves them. */
export function theSite() {
  site ??= serveFolders(folders)
  return site
}

/** Two pages that have paired, at a server of their own or at another one. */
export async function pair(scope, { a: optionsA = {}, b: optionsB = {}, openB, entry = 'peersox', serve = [], server } = {}) {
  const site = await theSite()
  const api = `${site}/pages/api.html?entry=${entry}`
  server ??= await scope.server(['--allow-origin', site, ...serve])
  const a = await scope.page(api)
  const b = openB ? await openB(api) : await scope.page(api)
  const ready = await begin(a, server.url, optionsA)
  const code = await a.evaluate(async () => (await client.initPairing()).code)
  await begin(b, server.url, optionsB)
  const paired = performance.now()
  await b.evaluate(async (code) => void (await client.pair(code)), code)
  await Promise.all([a, b].map((it) => it.evaluate(() => client.connected())))
  return { server, a, b, ready, paired }
}

/** Makes a client and keeps what happens to it; says how long after navigation it was ready, in milliseconds. */
export async function begin(page, url, options) {
  await page.waitForFunction(() => globalThis.loaded)
  return page.evaluate(
    async ([url, options]) => {
      globalThis.client = new peersox.PeerSoxClient({ url, storage: null, ...options })
      globalThis.paths = []
      client.on('path.changed', ({ path }) => paths.push(path))
      await client.ready
      return Math.round(performance.now())
    },
    [url, options],
  )
}

/** Resolves when messages take this path, for the `times`th time at least. Both drivers of browsers know how. */
export const takes = (page, path, times = 1) =>
  page.evaluate(
    ([path, times]) =>
      new Promise((resolve) => {
        const look = () => {
          if (client.status.path === path && paths.filter((it) => it === path).length >= times) resolve()
        }
        client.on('path.changed', look)
        look()
      }),
    [path, times],
  )

/** Sends every kind of message from one page to the other. */
export async function exchange(from, to) {
  await to.evaluate(() => {
    globalThis.got = []
    const hex = (buffer) => [...new Uint8Array(buffer)].map((it) => it.toString(16).padStart(2, '0')).join('')
    client.onString = (text) => got.push(`text ${text}`)
    client.onBinary = (buffer) => got.push(`${buffer instanceof ArrayBuffer ? 'binary' : typeof buffer} ${hex(buffer)}`)
  })
  await from.evaluate(() => {
    const bytes = Uint8Array.from({ length: 16 }, (_, at) => at)
    client.send('hello')
    client.send('PING')
    client.send('§0§')
    client.send('')
    client.send('grün 👋🏽')
    client.send(bytes.buffer)
    client.send(bytes.subarray(3, 7))
    client.send(new DataView(bytes.buffer, 14))
    client.send(new Uint16Array(bytes.buffer, 2, 2))
    client.send(new ArrayBuffer(0))
  })
  const expected = [
    'text hello',
    'text PING',
    'text §0§',
    'text ',
    'text grün 👋🏽',
    'binary 000102030405060708090a0b0c0d0e0f',
    'binary 03040506',
    'binary 0e0f',
    'binary 02030405',
    'binary ',
  ]
  await to.waitForFunction(() => got.length >= 10)
  equal((await to.evaluate(() => got)).join('\n'), expected.join('\n'), 'messages')
}

export function equal(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`)
}
