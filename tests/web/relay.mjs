// What our layers cost where a server is in between: beside a bare WebSocket, page to server to page each.

import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { pair } from './embed.mjs'
import { check } from './harness.mjs'

const MESSAGE = 64_000
const MESSAGES = 1_000
const ROUNDS = 3

export async function relayChecks() {
  await check('64 MB over the relay, beside a bare WebSocket', compare, { alone: true })
}

async function compare(scope) {
  const over = { webrtc: 'off', transport: 'websocket' }
  const { a, b } = await pair(scope, { a: over, b: over })
  await dial(a, b, await forwarder(scope))
  const seconds = { client: [], socket: [] }
  // The first round warms both up; from then on either goes first in turn.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const way of round % 2 ? ['client', 'socket'] : ['socket', 'client']) {
      const took = await take(a, b, way)
      if (round > 0) seconds[way].push(took)
    }
  }
  const { client: ours, socket: bare } = seconds
  const ratio = median(bare) / median(ours)
  const rates = (seconds) => seconds.map((it) => ((MESSAGE * MESSAGES) / 1e6 / it).toFixed(1)).join(' ')
  return `${rates(ours)} MB/s, bare ${rates(bare)} MB/s, ratio of the medians ${ratio.toFixed(2)}`
}

/** A server that hands what either of two WebSockets says to the other, and reads on once that is taken. */
async function forwarder(scope) {
  const server = createServer()
  const sockets = []
  const sides = new WebSocketServer({ server, perMessageDeflate: false })
  sides.on('connection', (socket) => {
    sockets.push(socket)
    socket.on('message', (data, isBinary) => {
      const other = sockets.find((it) => it !== socket)
      other.send(data, { binary: isBinary }, () => socket.resume())
      if (other.bufferedAmount > 1 << 20) socket.pause()
    })
  })
  scope.defer(() => server.close())
  scope.defer(() => sockets.forEach((it) => it.terminate()))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `ws://127.0.0.1:${server.address().port}`
}

/** Gives both pages a bare WebSocket, and the two ways of sending the same form. */
async function dial(from, to, url) {
  for (const page of [from, to]) {
    await page.evaluate(async (url) => {
      globalThis.socket = new WebSocket(url)
      socket.binaryType = 'arraybuffer'
      await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }))
    }, url)
  }
  await to.evaluate(() => {
    globalThis.arrived = { client: 0, socket: 0 }
    client.onBinary = (data) => (arrived.client += data.byteLength)
    socket.onmessage = ({ data }) => (arrived.socket += data.byteLength)
  })
  await from.evaluate(() => {
    const pause = () => new Promise((resolve) => setTimeout(resolve))
    globalThis.send = {
      client: (piece) => client.send(piece),
      // As much as the client lets wait in the browser.
      async socket(piece) {
        while (socket.bufferedAmount > 1 << 20) await pause()
        socket.send(piece)
      },
    }
  })
}

/** Seconds from the first message's leaving to the last one's arrival. */
async function take(from, to, way) {
  await to.evaluate((way) => (arrived[way] = 0), way)
  const began = performance.now()
  const sending = from.evaluate(
    async ([way, size, count]) => {
      const piece = new Uint8Array(size)
      for (let sent = 0; sent < count; sent++) await send[way](piece)
    },
    [way, MESSAGE, MESSAGES],
  )
  await to.waitForFunction(([way, size]) => arrived[way] === size, [way, MESSAGE * MESSAGES])
  await sending
  return (performance.now() - began) / 1000
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1]
}
