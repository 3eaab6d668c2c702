// The real engine and the real shell at a gRPC-Web server over real HTTP, with a clock that a test moves. The relay is a
// WebSocket that a test scripts.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import * as wire from '#wire'
import { Control } from '../src/net/control.js'
import { setClock } from '../src/net/door.js'
import { Machine } from '../src/net/machine.js'
import { encode } from '../src/net/protobuf.js'
import { Shell } from '../src/net/shell.js'
import { real, skip } from './real.mjs'
import { draining, kindOf, nonceOf, pong, welcome } from './relay.mjs'

const TYPE = { 'content-type': 'application/grpc-web+proto' }
const PAIRING = { credential: 'AA==' }

/** A peer at a server. */
class World {
  now = 1_000
  timers = new Map()
  sockets = []
  told = []
  /** When OpenSession was called. */
  calls = []
  pending = 0
  /** Whether the server accepts calls and never answers them. */
  hangs = false
  /** What the server answers: the bytes of a body. */
  answer = () => body(encode(wire.OpenSessionResponse, { ticket: 'T.I.C', endpoints: [{ transport: 1, url: 'ws://relay.example' }] }))
  /** What the relay says to a frame. */
  relay = (socket, frame) => kindOf(frame) === 'hello' && socket.say(welcome())

  static async begin(t) {
    await real()
    const world = new World()
    world.server = createServer((request, response) => {
      world.calls.push(world.now)
      if (!world.hangs) response.writeHead(200, TYPE).end(world.answer())
    })
    await new Promise((resolve) => world.server.listen(0, '127.0.0.1', resolve))
    const kept = [globalThis.WebSocket, globalThis.setTimeout, globalThis.clearTimeout]
    globalThis.WebSocket = world.socket()
    globalThis.setTimeout = (act, millis = 0, ...given) => {
      // `fetch` of Node uses more of a timer than a browser has.
      const timer = { refresh: () => world.timers.set(timer, { act: () => act(...given), at: world.now + millis }), ref: () => timer, unref: () => timer }
      timer.refresh()
      return timer
    }
    globalThis.clearTimeout = (timer) => world.timers.delete(timer)
    t.mock.method(Date, 'now', () => 1e12 + world.now)
    setClock(() => world.now)
    t.after(() => {
      world.shell.close(0)
      ;[globalThis.WebSocket, globalThis.setTimeout, globalThis.clearTimeout] = kept
      setClock(() => performance.now())
      world.server.closeAllConnections()
      world.server.close()
    })
    const control = new Control(`http://127.0.0.1:${world.server.address().port}`, Promise.resolve(), () => {})
    const open = (signal) => {
      world.pending++
      return control.openSession(PAIRING, signal).finally(() => world.pending--)
    }
    const listener = new Proxy({}, { get: (_, name) => (...args) => world.told.push([name, ...args]) })
    const who = { id: new Uint8Array(16), initiator: true, secret: new Uint8Array(32), webrtc: 'off', maxMessage: 100, open }
    world.shell = new Shell({ Machine }, who, listener)
    await world.settle()
    return world
  }

  socket() {
    const world = this
    return class {
      readyState = 0
      bufferedAmount = 0
      pings = 0
      constructor() {
        world.sockets.push(this)
        queueMicrotask(() => {
          this.readyState = 1
          this.onopen?.()
        })
      }
      send(frame) {
        const copy = Uint8Array.from(frame)
        if (kindOf(copy) === 'ping') this.pings++
        queueMicrotask(() => world.relay(this, copy))
      }
      say(frame) {
        this.onmessage?.({ data: frame.slice().buffer })
      }
      close(code) {
        this.readyState = 3
        this.closed = code
      }
      /** The relay hangs up. */
      end(code) {
        this.readyState = 3
        this.onclose?.({ code })
      }
    }
  }

  /** Everything that is under way comes to its end. */
  async settle() {
    do await new Promise((resolve) => setImmediate(resolve))
    while (this.pending > 0 && !this.hangs)
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** Time passes, and what is due happens at its time. */
  async pass(millis) {
    const end = this.now + millis
    for (;;) {
      const due = [...this.timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)
      if (due.length === 0) break
      const [[timer, { act, at }]] = due
      this.timers.delete(timer)
      this.now = Math.max(this.now, at)
      act()
      await this.settle()
    }
    this.now = end
  }
}

function body(message, status = 'grpc-status: 0\r\n') {
  const frames = [[0x80, Buffer.from(status)], ...(message ? [[0, Buffer.from(message)]] : [])].reverse()
  return Buffer.concat(frames.flatMap(([flag, bytes]) => [Buffer.from([flag, 0, 0, bytes.length >> 8, bytes.length & 255]), bytes]))
}

/** A status that asks to wait. */
function busy(seconds) {
  const any = { type_url: 'type.googleapis.com/google.rpc.RetryInfo', value: encode(wire.RetryInfo, { retry_delay: { seconds, nanos: 0 } }) }
  const details = Buffer.from(encode(wire.Status, { details: [any] })).toString('base64')
  return body(null, `grpc-status: 8\r\ngrpc-status-details-bin: ${details}\r\n`)
}

test('a server that asks to wait for seven seconds is not called earlier, not even after a wake-up', { skip }, async (t) => {
  const world = await World.begin(t)
  assert.deepEqual(world.told[0], ['attached', false])
  world.answer = () => busy(7)
  world.sockets[0].end(1006)
  await world.pass(200)
  assert.equal(world.calls.length, 2)
  const [[, cause, , , retryIn]] = world.told.slice(-1)
  assert.equal(cause, 'control')
  assert.ok(retryIn >= 7_000, `${retryIn}`)
  await world.pass(3_000)
  t.mock.method(Date, 'now', () => 1e12 + world.now + 60_000)
  await world.pass(3_700)
  assert.equal(world.calls.length, 2)
  world.answer = () => new World().answer()
  await world.pass(5_000)
  assert.equal(world.calls.length, 3)
  assert.ok(world.calls[2] - world.calls[1] >= 7_000)
  assert.deepEqual(world.told.at(-1), ['attached', false])
})

test('a server that accepts and never answers is called again when the network is back, and does without after ten seconds', { skip }, async (t) => {
  const page = Object.assign(new EventTarget(), { visibilityState: 'visible' })
  globalThis.document = page
  t.after(() => delete globalThis.document)
  const world = await World.begin(t)
  /** Real requests take their time on the way to the server. */
  const called = async (times) => {
    while (world.calls.length < times) await new Promise((resolve) => setImmediate(resolve))
  }
  world.hangs = true
  world.sockets[0].end(1006)
  await world.pass(200)
  await called(2)
  await world.pass(1_500)
  assert.equal(world.calls.length, 2)
  page.dispatchEvent(new Event('visibilitychange'))
  await called(3)
  assert.equal(world.calls[2], world.now)
  assert.equal(world.told.at(-1)[0], 'legLost')
  // The ticket of before is still good.
  await world.pass(11_000)
  assert.deepEqual(world.told.at(-1), ['attached', false])
})

test('a relay that asks for a ping each millisecond gets two a second at most', { skip }, async (t) => {
  const world = await World.begin(t)
  world.relay = (socket, frame) => {
    if (kindOf(frame) === 'hello') socket.say(welcome({ keepalive: 1 }))
    else socket.say(pong(nonceOf(frame)))
  }
  world.sockets[0].end(1006)
  await world.pass(1_000)
  const [, socket] = world.sockets
  const before = socket.pings
  await world.pass(20_000)
  const pings = socket.pings - before
  assert.ok(pings >= 15 && pings <= 40, `${pings} in 20 s`)
  assert.ok(world.shell.stats().relayRtt >= 0)
})

test('a leg that answers nothing is lost, and another is made', { skip }, async (t) => {
  const world = await World.begin(t)
  await world.pass(60_000)
  const lost = world.told.filter(([name]) => name === 'legLost')
  assert.equal(lost[0][1], 'silent')
  assert.ok(world.sockets.length >= 2)
})

test('a leg that is replaced by the newer one of this side ends nothing', { skip }, async (t) => {
  const world = await World.begin(t)
  const [old] = world.sockets
  let hello
  world.relay = (socket, frame) => {
    if (kindOf(frame) === 'hello') hello = socket
  }
  old.say(draining(5_000))
  await world.pass(500)
  assert.equal(hello, world.sockets[1])
  old.end(4003)
  await world.settle()
  assert.deepEqual(world.told.filter(([name]) => name === 'ended' || name === 'legLost'), [])
  hello.say(welcome({ resumed: true }))
  assert.deepEqual(world.told.at(-1), ['attached', true])
})

test('a leg that is replaced by a stranger ends it', { skip }, async (t) => {
  const world = await World.begin(t)
  world.sockets[0].end(4003)
  const [[name, end]] = world.told.slice(-1)
  assert.deepEqual([name, end.reason, end.error], ['ended', 'replaced', null])
})

test('a farewell to nobody ends at once', { skip }, async (t) => {
  const world = await World.begin(t)
  world.shell.close(5_000)
  const [[name, end]] = world.told.slice(-1)
  assert.deepEqual([name, end.reason], ['ended', 'closed'])
  assert.equal(world.sockets[0].closed, 4000)
})
