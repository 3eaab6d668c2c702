// Legs over WebTransport: forced, and where a WebSocket was first.

import { equal, exchange, pair } from './embed.mjs'
import { check, until } from './harness.mjs'

/** What carries the connection of a page to the relay. */
const carrier = (page) => page.evaluate(() => client.stats().then((it) => it.transport))

export async function webTransportChecks() {
  await check('WebTransport, where it is asked for, carries messages of every kind, datagrams and the end', async (scope) => {
    const over = { webrtc: 'off', transport: 'webtransport' }
    const { a, b } = await pair(scope, { a: over, b: { webrtc: 'off' } })
    equal(await carrier(a), 'webtransport', 'what carries the one')
    equal(await carrier(b), 'websocket', 'what carries the other')
    await exchange(a, b)
    await exchange(b, a)
    await datagram(a, b)
    await datagram(b, a)
    const took = [await bulk(a, b), await bulk(b, a)]
    await a.evaluate(() => client.close())
    await b.waitForFunction(() => client.status.peer === 'gone' || client.status.server === 'closed')
    return took.map((it) => `${(BULK / 1e6 / it).toFixed(1)} MB/s`).join(' and ')
  })

  await check('WebTransport takes over from a WebSocket, and no message is lost, doubled or reordered', async (scope) => {
    const { a, b } = await pair(scope, { a: { webrtc: 'off' }, b: { webrtc: 'off' } })
    for (const page of [a, b]) equal(await carrier(page), 'websocket', 'what carries it first')
    for (const page of [a, b]) await page.evaluate(talk)
    await until(async () => (await carrier(a)) === 'webtransport' && (await carrier(b)) === 'webtransport')
    for (const page of [a, b]) {
      const { heard, wrong } = await page.evaluate(async () => {
        const before = said.heard
        while (said.heard < before + 20) await new Promise((resolve) => setTimeout(resolve, 20))
        return said
      })
      equal(wrong, '', 'what came out of order')
      if (heard < 100) throw new Error(`only ${heard} messages were heard meanwhile`)
    }
  })

  await check('WebTransport is taken up again when the server is restarted', async (scope) => {
    const over = { webrtc: 'off', transport: 'webtransport' }
    const state = ['--state', `${scope.directory()}/state`, '--drain-grace', '0']
    const { server, a, b } = await pair(scope, { a: over, b: over, serve: state })
    const { port } = new URL(server.url)
    await server.stop()
    await a.evaluate(() => void client.send('said while nobody is there'))
    const got = b.evaluate(() => client.receive())
    await scope.server(['--allow-origin', new URL(a.url()).origin, ...state], `127.0.0.1:${port}`)
    equal(await got, 'said while nobody is there', 'what came')
    for (const page of [a, b]) equal(await carrier(page), 'webtransport', 'what carries it')
  })

  await check('WebTransport that a server does not have is named', async (scope) => {
    const over = { transport: 'webtransport' }
    const failed = await pair(scope, { a: over, serve: ['--no-quic'] }).then(
      () => undefined,
      (error) => error,
    )
    if (!/no-transport|no way|transport/.test(failed?.message)) throw new Error(`not an error that says so: ${failed?.message}`)
  })
}

const BULK = 16_000_000

/** Seconds for many messages to arrive, whose bytes are looked at. */
async function bulk(from, to) {
  const size = 50_000
  const count = BULK / size
  // Before the first is sent: there is a handler already, which would take it.
  await to.evaluate(
    ([size, count]) => {
      globalThis.wrong = new Promise((resolve) => {
        let next = 0
        client.onBinary = (buffer) => {
          const bytes = new Uint8Array(buffer)
          const right = bytes.length === size && bytes[0] === next % 251 && bytes[size - 1] === next % 251
          if (!right) resolve(`message ${next} is another one`)
          if (++next === count) resolve('')
        }
      })
    },
    [size, count],
  )
  const began = performance.now()
  await from.evaluate(
    async ([size, count]) => {
      for (let at = 0; at < count; at++) await client.send(new Uint8Array(size).fill(at % 251))
    },
    [size, count],
  )
  equal(await to.evaluate(() => wrong), '', 'what is wrong')
  return (performance.now() - began) / 1000
}

/** One of some datagrams arrives. */
async function datagram(from, to) {
  const got = to.evaluate(async () => [...(await client.datagrams.readable.getReader().read()).value].join())
  await from.evaluate(() => void (globalThis.writer = client.datagrams.writable.getWriter()))
  const timer = setInterval(() => void from.evaluate(() => writer.write(Uint8Array.of(1, 2, 3))).catch(() => {}), 100)
  try {
    equal(await got, '1,2,3', 'a datagram')
  } finally {
    clearInterval(timer)
  }
}

/** Says numbers, and notes whether those of the other side come in order. */
function talk() {
  globalThis.said = { heard: 0, wrong: '' }
  client.onString = (text) => {
    if (text !== String(said.heard) && !said.wrong) said.wrong = `${text} instead of ${said.heard}`
    said.heard++
  }
  let next = 0
  setInterval(() => void client.send(String(next++)), 50)
}
