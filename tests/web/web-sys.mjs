// The browser's sockets for Rust programs, client-wasm/web, against servers that are not ours.

import { createServer } from 'node:http'
import { join } from 'node:path'
import { WebSocketServer } from 'ws'
import { equal } from './embed.mjs'
import { check, here, root, serveFolders } from './harness.mjs'

export async function webSysChecks() {
  await check('rust: an answer is read while it comes, and dropping it aborts the request', async (scope) => {
    const { page } = await probe(scope)
    const server = await answers(scope)
    equal(await page.evaluate((url) => probe.stream(url), server.url), '200 1 70005', 'the answer')
    equal(server.heard.join(), `begin,5,${PIECE}`, 'what the server heard')
    equal(await page.evaluate((url) => probe.abandon(url), server.url), '4', 'the first bytes')
    await server.abandoned
    equal(await page.evaluate((url) => probe.broken_answer(url), server.url), 'TypeError', 'a broken answer')
    equal(await page.evaluate((url) => probe.refused(url), `${server.url}/not-permitted`), 'TypeError', 'another origin')
    equal(await page.evaluate((url) => probe.refused(url), await nobody()), 'TypeError', 'no server')
  })

  await check('rust: a WebSocket returns what it was given, and tells how it ends', async (scope) => {
    const { page } = await probe(scope)
    const server = await echoes(scope)
    const echo = (...of) => page.evaluate((of) => probe.echo(...of), [server.url, ...of])
    equal(await echo(2_000, 100), 'true 4001 ', 'short messages')
    equal(await echo(200, 300_000), 'true 4001 ', 'more than there is room for')
    const ends = (url, word) => page.evaluate((of) => probe.ends(...of), [url, word])
    equal(await ends(server.url, 'close'), '4002 so it goes', 'the server closes')
    equal(await ends(server.url, 'break'), 'none ', 'the connection breaks')
    equal(await ends((await nobody()).replace('http', 'ws'), ''), 'never open: none ', 'no server')
    await page.evaluate((url) => probe.leaves(url), server.url)
    equal(await server.left, 1005, 'both halves are dropped')
    const thrown = await page.evaluate(() => probe.ends('mailto:nobody', '').catch((it) => it.message.split(':')[0]))
    equal(thrown, 'SyntaxError', 'no URL for a WebSocket')
  })

  await check('rust: two connections find each other, and exchange frames and datagrams', async (scope) => {
    const { page } = await probe(scope)
    equal(await page.evaluate(() => probe.pair(2_000, 100)), 'false', 'there is always room for little')
    equal(await page.evaluate(() => probe.pair(400, 60_000)), 'true', 'there is not for much')
    equal(await page.evaluate(() => connections.map((it) => it.connectionState).join()), 'closed,closed,closed,closed', 'what is dropped')
    equal(await page.evaluate(() => probe.bad_server()), 'SyntaxError', 'a server without a URL')
  })

  await check('rust: timers, randomness and requests work in a page and in a worker', async (scope) => {
    const { page, site } = await probe(scope)
    const server = await answers(scope)
    const timers = await page.evaluate(async () => {
      const { setTimeout, clearTimeout } = globalThis
      const alive = new Set()
      let made = 0
      globalThis.setTimeout = (ring, ...rest) => {
        const timer = setTimeout(() => alive.delete(timer) && ring(), ...rest)
        made += 1
        alive.add(timer)
        return timer
      }
      globalThis.clearTimeout = (timer) => alive.delete(timer) && clearTimeout(timer)
      await probe.scope()
      return { few: made < 8, alive: alive.size }
    })
    equal(JSON.stringify(timers), '{"few":true,"alive":0}', 'timers of the page')
    const told = await page.evaluate(
      async ([site, url]) => {
        const program = `import init, { scope, stream } from '${site}/rust/probe.js'
          const run = async () => [await init(), await scope(), await stream('${url}')][2]
          run().then(postMessage, (error) => postMessage(String(error)))`
        const worker = new Worker(URL.createObjectURL(new Blob([program], { type: 'text/javascript' })), { type: 'module' })
        return new Promise((resolve) => Object.assign(worker, { onmessage: ({ data }) => resolve(data), onerror: resolve }))
      },
      [site, server.url],
    )
    equal(told, '200 1 70005', 'the worker')
  })

  await check('rust: a page that comes back says so, and for how long its clock stood still', async (scope) => {
    const { page } = await probe(scope)
    const woken = (event) =>
      page.evaluate((event) => {
        const woken = probe.wakes()
        const { now } = Date
        Date.now = () => now() + 7_500
        event === 'visibilitychange' ? document.dispatchEvent(new Event(event)) : dispatchEvent(new Event(event))
        return woken.finally(() => (Date.now = now))
      }, event)
    equal(await woken('online'), '7', 'the network is back')
    equal(await woken('pageshow'), '7', 'the page is back')
    equal(await woken('visibilitychange'), '7', 'somebody looks')
    const hidden = await page.evaluate(() => {
      Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true })
      const woken = probe.wakes()
      dispatchEvent(new Event('online'))
      const none = new Promise((resolve) => setTimeout(resolve, 100, 'nothing'))
      return Promise.race([woken, none])
    })
    equal(hidden, 'nothing', 'nobody looks')
  })
}

/** Bytes of an answer that fit into no single read. */
const PIECE = 70_000

let site
/** A page with the program: `scripts/web-rust` builds it. */
async function probe(scope) {
  site ??= await serveFolders({ rust: join(root, 'target/web/rust'), pages: join(here, 'pages') })
  const page = await scope.page(`${site}/pages/probe.html`)
  await page.waitForFunction(() => globalThis.probe)
  return { page, site }
}

/** A server that answers in pieces, to pages of every origin but for one path. */
async function answers(scope) {
  const heard = []
  let more
  let gone
  const abandoned = new Promise((resolve) => (gone = resolve))
  const routes = {
    async '/stream'(body, answer) {
      heard.push(body.toString())
      for (const piece of ['first', 'x'.repeat(PIECE)]) {
        // It may arrive as several.
        let left = piece.length
        const all = new Promise((resolve) => (more = (length) => (left -= length) || resolve()))
        answer.write(piece)
        await all
        heard.push(piece.length)
      }
      answer.end()
    },
    '/seen'(body, answer) {
      more(body.length)
      answer.writeHead(204).end()
    },
    '/endless'(_, answer) {
      answer.on('close', gone)
      answer.write('more')
    },
    '/broken'(_, answer) {
      answer.write('some', () => answer.destroy())
    },
  }
  const server = createServer(async (request, answer) => {
    const { url, method, headers } = request
    if (url === '/not-permitted') return answer.end()
    answer.setHeader('access-control-allow-origin', headers.origin)
    answer.setHeader('access-control-allow-headers', 'x-probe, content-type')
    answer.setHeader('access-control-expose-headers', 'x-probe')
    if (method === 'OPTIONS') return answer.writeHead(204).end()
    if (headers['x-probe']) answer.setHeader('x-probe', headers['x-probe'])
    const body = []
    for await (const piece of request) body.push(piece)
    await routes[url](Buffer.concat(body), answer)
  })
  scope.defer(() => server.closeAllConnections())
  scope.defer(() => server.close())
  return { url: await listening(server), heard, abandoned }
}

/** A server that returns messages, and does what two words say. */
async function echoes(scope) {
  let leave
  const left = new Promise((resolve) => (leave = resolve))
  const server = createServer()
  const sides = new WebSocketServer({ server, perMessageDeflate: false, handleProtocols: () => 'peersox.v1' })
  sides.on('connection', (socket) => {
    scope.defer(() => socket.terminate())
    socket.on('message', (data, isBinary) => {
      const word = data.length < 10 ? data.toString() : ''
      if (word === 'close') socket.close(4002, 'so it goes')
      else if (word === 'break') socket.terminate()
      else if (word === 'here') socket.on('close', leave)
      else socket.send(data, { binary: isBinary })
    })
  })
  scope.defer(() => server.close())
  const url = await listening(server)
  return { url: url.replace('http', 'ws'), left }
}

/** Where a server was. */
async function nobody() {
  const server = createServer()
  const url = await listening(server)
  await new Promise((resolve) => server.close(resolve))
  return url
}

async function listening(server) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${server.address().port}`
}
