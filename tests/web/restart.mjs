// Pages while every node of a service over Redis is restarted, one after the other.

import { existsSync, writeFileSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import { join } from 'node:path'
import { begin, equal, theSite } from './embed.mjs'
import { check, freePort, until } from './harness.mjs'

export async function restartChecks() {
  await check('embedded: pages talk on while every node of a service is restarted', async (scope) => {
    const site = await theSite()
    const service = await start(scope, site)
    const pairs = []
    // Over the relay, and where the network permits it, directly: that pair needs the relay for its signals.
    for (const webrtc of ['off', 'auto']) pairs.push(await meet(scope, `${site}/pages/api.html`, service.url, webrtc))
    for (const { pages } of pairs) for (const page of pages) await page.evaluate(beginToTalk)
    await talkOn(pairs)
    for (const node of [...service.controls, ...service.relays]) {
      equal(await node.stop(), 0, 'how a node ended')
      await node.start()
      await talkOn(pairs)
    }
    let worst = 0
    for (const { pages } of pairs) {
      const said = await Promise.all(pages.map((page) => page.evaluate(stopTalking)))
      for (const [at, page] of pages.entries()) {
        // What is missing, doubled or out of order is told by the number that was expected.
        await page.waitForFunction((all) => talk.wrong || talk.errors || talk.heard === all, said[1 - at])
        const { wrong, errors, silence } = await page.evaluate(() => talk)
        equal(`${wrong}${errors}`, '', 'what a page noticed')
        worst = Math.max(worst, silence)
      }
    }
    return `longest silence ${Math.round(worst)} ms`
  })
}

/** Two nodes of control behind one address, two relays, and Redis. */
async function start(scope, site) {
  const folder = scope.directory()
  const secret = (name) => {
    writeFileSync(join(folder, name), `${'5f'.repeat(32)}\n`, { mode: 0o600 })
    return join(folder, name)
  }
  const shared = ['--control-token-file', secret('token'), '--unmetered', '127.0.0.0/8', '--allow-origin', site, '--log', 'warn']
  const ports = [await freePort(), await freePort()]
  const url = await balance(scope, ports)
  const redis = await startRedis(scope, folder)
  const roles = ['--role', 'control', '--redis', redis, '--secret-file', secret('secret'), '--public-url', url]
  const controls = ports.map((port) => node(scope, port, [...roles, ...shared]))
  await Promise.all(controls.map((it) => it.start()))
  const relays = []
  for (const name of ['one', 'two']) {
    const port = await freePort()
    const control = ports.map((it) => `http://127.0.0.1:${it}`).join()
    const role = ['--role', 'relay', '--control', control, '--relay-name', name, '--public-url', `http://127.0.0.1:${port}`]
    const relay = node(scope, port, [...role, ...shared])
    await relay.start()
    relays.push(relay)
  }
  // A node of control that has just begun places nobody at a relay that it does not know yet.
  const allKnown = async () => {
    for (const control of ports) {
      const policy = (await fetch(`http://127.0.0.1:${control}`)).headers.get('content-security-policy')
      if (!relays.every((it) => policy.includes(`ws://127.0.0.1:${it.port}`))) return false
    }
    return true
  }
  await until(allKnown)
  for (const it of [...controls, ...relays]) {
    const begin = it.start
    it.start = async () => {
      await begin()
      await until(allKnown)
    }
  }
  return { url, controls, relays }
}

/** A node that can be stopped in good order, and started again on its port. */
function node(scope, port, args) {
  let running
  return {
    port,
    start: async () => void (running = await scope.server(args, `127.0.0.1:${port}`)),
    stop: () => running.stop(),
  }
}

/** What stands in front of control: connections go to one node after the other, and to the next if one is gone. */
async function balance(scope, ports) {
  let next = 0
  const server = createServer((client) => {
    const seek = (left) => {
      if (left === 0) return client.destroy()
      const node = connect(ports[next++ % ports.length], '127.0.0.1')
      node.once('error', () => seek(left - 1))
      node.once('connect', () => {
        node.removeAllListeners('error')
        for (const [it, other] of [[client, node], [node, client]]) it.on('error', () => other.destroy()).on('close', () => other.destroy()).pipe(other)
      })
    }
    client.on('error', () => {})
    seek(ports.length)
  })
  scope.defer(() => server.close())
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${server.address().port}`
}

async function startRedis(scope, folder) {
  // Debian's redis-tools bring the server under the name of a tool.
  const program = ['/usr/bin/redis-server', '/usr/bin/redis-check-rdb'].find(existsSync)
  const port = await freePort()
  const options = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes']
  const redis = scope.spawn('redis', options, { program, argv0: 'redis-server' })
  await redis.printed(/Ready to accept connections/)
  return `redis://127.0.0.1:${port}`
}

async function meet(scope, page, url, webrtc) {
  const pages = [await scope.page(page), await scope.page(page)]
  for (const it of pages) await begin(it, url, { webrtc })
  const [a, b] = pages
  const code = await a.evaluate(async () => (await client.initPairing()).code)
  await b.evaluate(async (code) => void (await client.pair(code)), code)
  await Promise.all(pages.map((it) => it.evaluate(() => client.connected())))
  return { pages }
}

/** Numbers, one after the other, twenty a second; and what comes is compared with what has to come. */
function beginToTalk() {
  const talk = { said: 0, heard: 0, silence: 0, last: performance.now(), wrong: '', errors: '' }
  client.on('error', (error) => (talk.errors += `${error.code} `))
  client.on('closed', ({ reason }) => (talk.errors += `closed: ${reason} `))
  client.onString = (text) => {
    if (text !== String(talk.heard)) talk.wrong ||= `${text} instead of ${talk.heard}`
    talk.heard += 1
    talk.silence = Math.max(talk.silence, performance.now() - talk.last)
    talk.last = performance.now()
  }
  talk.timer = setInterval(() => client.send(String(talk.said++)), 50)
  globalThis.talk = talk
}

/** Resolves when each page has heard a second's worth of what was said from now on. */
async function talkOn(pairs) {
  for (const { pages } of pairs) {
    for (const [one, other] of [pages, pages.toReversed()]) {
      const said = await one.evaluate(() => talk.said)
      await other.waitForFunction((enough) => talk.wrong || talk.heard >= enough, said + 20)
    }
  }
}

function stopTalking() {
  clearInterval(talk.timer)
  return talk.said
}
