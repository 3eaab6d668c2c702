// Pages while every node of a service over Redis is restarted, one after the other.

import { existsSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { equal, pair, takes, theSite } from './embed.mjs'
import { check, known, legs, quietPort } from './harness.mjs'

export async function restartChecks() {
  await check('embedded: pages talk on while every node of a service is restarted', async (scope) => {
    const program = REDIS.find(existsSync)
    if (!program) return { skip: 'Redis is not here' }
    const service = await start(scope, program)
    const relayed = await pair(scope, { a: { webrtc: 'off' }, b: { webrtc: 'off' }, server: service })
    const direct = await pair(scope, { server: service })
    await Promise.all([direct.a, direct.b].map((page) => takes(page, 'webrtc')))
    const pairs = [relayed, direct].map(({ a, b }) => [a, b])
    for (const page of pairs.flat()) await page.evaluate(beginToTalk)
    await talkOn(pairs)
    for (const node of service.nodes) {
      equal(await node.stop(), 0, 'how a node ended')
      await talkOn(pairs)
      await node.start()
      await service.known()
      await talkOn(pairs)
    }
    let worst = 0
    for (const pages of pairs) {
      const said = await Promise.all(pages.map((page) => page.evaluate(stopTalking)))
      for (const [at, page] of pages.entries()) {
        await page.waitForFunction((all) => talk.wrong || talk.heard >= all, said[1 - at])
        const { wrong, heard, silence } = await page.evaluate(() => talk)
        equal(wrong, '', 'what a page noticed')
        equal(heard, said[1 - at], 'messages')
        worst = Math.max(worst, silence)
      }
    }
    // The direct pair needs its legs for signals only, and has them again.
    equal((await Promise.all(service.relays.map(legs))).reduce((sum, it) => sum + it), 4, 'legs')
    // Three times what is promised for the death of a relay over WebSocket, and of these none dies.
    if (worst > 15_000) throw new Error(`a page heard nothing for ${Math.round(worst)} ms`)
    return `longest silence ${Math.round(worst)} ms`
  })
}

/** Debian's redis-tools bring the server under the name of a tool. */
const REDIS = ['/usr/bin/redis-server', '/usr/bin/redis-check-rdb']

/** Two nodes of control behind one address, two relays, and Redis. */
async function start(scope, program) {
  const folder = scope.directory()
  const secret = (name) => {
    writeFileSync(join(folder, name), `${'5f'.repeat(32)}\n`, { mode: 0o600 })
    return join(folder, name)
  }
  const shared = ['--control-token-file', secret('token'), '--unmetered', '127.0.0.0/8', '--log', 'warn', '--allow-origin', await theSite()]
  const redis = await startRedis(scope, program, folder)
  const [controls, relays] = [[], []]
  for (const list of [controls, controls, relays, relays]) list.push(`127.0.0.1:${await quietPort()}`)
  const url = await balance(scope, controls)
  const control = ['--role', 'control', '--redis', redis, '--secret-file', secret('secret'), '--public-url', url]
  const relay = ['--role', 'relay', '--control', controls.map((it) => `http://${it}`).join()]
  const nodes = [
    ...controls.map((address) => node(scope, address, [...control, ...shared])),
    ...relays.map((address, at) => node(scope, address, [...relay, '--relay-name', `relay-${at}`, '--public-url', `http://${address}`, ...shared])),
  ]
  for (const it of nodes) await it.start()
  const service = { url, nodes, relays, known: () => known(controls, relays) }
  await service.known()
  return service
}

/** A node that can be stopped in good order, and started again where it was. */
function node(scope, address, args) {
  let running
  return {
    start: async () => void (running = await scope.server(args, address)),
    stop: () => running.stop(),
  }
}

/** What stands in front of control: connections go to one node after the other, and to the next if one is gone. */
async function balance(scope, addresses) {
  let next = 0
  const server = createServer((client) => {
    const seek = (left) => {
      if (left === 0) return client.destroy()
      const [host, port] = addresses[next++ % addresses.length].split(':')
      const node = connect(port, host)
      node.once('error', () => seek(left - 1))
      node.once('connect', () => {
        node.removeAllListeners('error')
        carry(client, node)
        carry(node, client)
      })
    }
    client.on('error', () => {})
    seek(addresses.length)
  })
  scope.defer(() => server.close())
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${server.address().port}`
}

function carry(from, to) {
  from.on('error', () => to.destroy())
  from.on('close', () => to.destroy())
  from.pipe(to)
}

async function startRedis(scope, program, folder) {
  const port = await quietPort()
  const options = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes']
  const redis = scope.spawn('redis', options, { program, argv0: 'redis-server' })
  await redis.printed(/Ready to accept connections/)
  return `redis://127.0.0.1:${port}`
}

/** Numbers, one after the other, twenty a second; and what comes is compared with what has to come. */
function beginToTalk() {
  const talk = { said: 0, heard: 0, silence: 0, last: performance.now(), wrong: '' }
  client.on('error', (error) => (talk.wrong ||= error.code))
  client.on('closed', ({ reason }) => (talk.wrong ||= `closed: ${reason}`))
  client.onString = (text) => {
    if (text !== String(talk.heard)) talk.wrong ||= `${text} instead of ${talk.heard}`
    talk.heard += 1
    talk.silence = Math.max(talk.silence, performance.now() - talk.last)
    talk.last = performance.now()
  }
  talk.timer = setInterval(() => client.send(String(talk.said++)), 50)
  globalThis.talk = talk
}

/** Resolves when each page has heard a second's worth of what was said from now on, or something is wrong. */
async function talkOn(pairs) {
  for (const pages of pairs) {
    for (const [one, other] of [pages, pages.toReversed()]) {
      const said = await one.evaluate(() => talk.said)
      await other.waitForFunction((enough) => talk.wrong || talk.heard >= enough, said + 20)
      equal(await other.evaluate(() => talk.wrong), '', 'what a page noticed')
    }
  }
}

function stopTalking() {
  clearInterval(talk.timer)
  return talk.said
}
