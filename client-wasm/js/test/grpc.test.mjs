// gRPC-Web against a real HTTP server, which answers what each test wants.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import * as wire from '#wire'
import { Control } from '../src/net/control.js'
import { unary } from '../src/net/grpc.js'
import { encode } from '../src/net/protobuf.js'

let server
let base
/** Answers a request. A test sets it. */
let answer
let asked

before(async () => {
  server = createServer(async (request, response) => {
    const parts = []
    for await (const part of request) parts.push(part)
    asked = { url: request.url, headers: request.headers, body: Buffer.concat(parts) }
    await answer(response, request)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${server.address().port}`
})

after(() => {
  server.closeAllConnections()
  server.close()
})

const TYPE = { 'content-type': 'application/grpc-web+proto' }

/** A frame of the body. */
function frame(flag, bytes) {
  const head = Buffer.alloc(5)
  head[0] = flag
  head.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([head, Buffer.from(bytes)])
}

const message = (...bytes) => frame(0, bytes)
const trailers = (text) => frame(0x80, Buffer.from(text))
const OK = trailers('grpc-status: 0\r\n')

/** Answers with these parts, each written by itself. */
function body(...parts) {
  answer = async (response) => {
    response.writeHead(200, TYPE)
    for (const part of parts) await new Promise((resolve) => response.write(part, resolve))
    response.end()
  }
}

const failing = (signal) => unary(base, 'M', new Uint8Array(), signal).then(() => assert.fail('it did not fail'), (error) => error)

test('a request is one frame, and says how long it may take', async () => {
  body(message(1, 2), OK)
  assert.deepEqual([...(await unary(base, 'JoinPairing', Uint8Array.of(7, 8, 9)))], [1, 2])
  assert.equal(asked.url, '/peersox.v1.PairingService/JoinPairing')
  assert.equal(asked.headers['grpc-timeout'], '10000m')
  assert.equal(asked.body.toString('hex'), '0000000003070809')
})

test('a code is made with the token of that moment, and joined without one', async () => {
  const engine = Promise.resolve({ makeCode: (nameplate) => nameplate, parseCode: (code) => code })
  let asks = 0
  for (const [token, expected] of [
    [undefined, undefined],
    ['key', 'Bearer key'],
    [() => `key${++asks}`, 'Bearer key1'],
    [async () => `key${++asks}`, 'Bearer key2'],
  ]) {
    const control = new Control(base, engine, () => {}, token)
    body(frame(0, encode(wire.CreatePairingResponse, { nameplate: '123456' })), OK)
    await control.create({})
    assert.equal(asked.headers.authorization, expected)
    body(frame(0, encode(wire.JoinPairingResponse, {})), OK)
    await control.join(`12345${asks}`, {})
    assert.equal(asked.headers.authorization, undefined)
  }
})

test('frames are found however the body is cut', async () => {
  const bytes = Buffer.concat([message(1, 2, 3), OK])
  for (let cut = 1; cut < bytes.length; cut++) {
    body(bytes.subarray(0, cut), bytes.subarray(cut))
    assert.deepEqual([...(await unary(base, 'M', new Uint8Array()))], [1, 2, 3], `cut at ${cut}`)
  }
})

test('an answer that breaks the protocol ends its request', async () => {
  let ended
  const closed = new Promise((resolve) => (ended = resolve))
  answer = (response) => {
    response.on('close', ended)
    response.writeHead(200, TYPE).write(Buffer.concat([message(1), message(2)]))
  }
  assert.equal((await failing()).code, 'protocol')
  await closed
})

/** The details of a status with a reason and, in milliseconds, when to try again. */
function details(reason, retry) {
  const any = (type, table, value) => ({ type_url: `type.googleapis.com/google.rpc.${type}`, value: encode(table, value) })
  const list = [any('ErrorInfo', wire.ErrorInfo, { reason })]
  if (retry) list.push(any('RetryInfo', wire.RetryInfo, { retry_delay: { seconds: Math.floor(retry / 1e3), nanos: (retry % 1e3) * 1e6 } }))
  return Buffer.from(encode(wire.Status, { details: list })).toString('base64')
}

for (const [reason, number, code] of [
  ['CODE_NOT_FOUND', 5, 'code-not-found'],
  ['CODE_MALFORMED', 3, 'code-malformed'],
  ['CREDENTIAL_INVALID', 16, 'pairing-invalid'],
  ['', 8, 'rate-limited'],
  ['', 14, 'unreachable'],
  ['', 4, 'unreachable'],
  ['', 13, 'refused'],
]) {
  test(`status ${number} ${reason} is ${code}, whatever its message says`, async () => {
    const text = 'grpc-message: CODE_NOT_FOUND CREDENTIAL_INVALID'
    body(trailers(`grpc-status: ${number}\r\n${text}\r\ngrpc-status-details-bin: ${details(reason)}\r\n`))
    assert.equal((await failing()).code, code)
  })
}

test('a status may come in the headers', async () => {
  answer = (response) => response.writeHead(200, { 'grpc-status': '7', 'grpc-message': 'caf%C3%A9' }).end()
  const error = await failing()
  assert.deepEqual([error.code, error.status], ['refused', 7])
  assert.match(error.message, /café/)
})

test('a server that asks to wait says how long', async () => {
  body(trailers(`grpc-status: 8\r\ngrpc-status-details-bin: ${details('', 7_250)}\r\n`))
  assert.equal((await failing()).retryAfter, 7_250)
})

test('details that cannot be read do not hide the status', async () => {
  body(trailers('grpc-status: 8\r\ngrpc-status-details-bin: ???\r\n'))
  assert.equal((await failing()).code, 'rate-limited')
})

test('an answer that breaks off, or is an error of HTTP, is unreachable', async () => {
  body(message(1))
  assert.equal((await failing()).code, 'unreachable')
  answer = (response) => response.writeHead(502).end('bad gateway')
  assert.equal((await failing()).code, 'unreachable')
  answer = (_, request) => request.socket.destroy()
  assert.equal((await failing()).code, 'unreachable')
})

test('two answers, none, and one that is too long break the protocol', async () => {
  body(message(1), message(2), OK)
  assert.equal((await failing()).code, 'protocol')
  body(OK)
  assert.equal((await failing()).code, 'protocol')
  body(Buffer.from('0000200001', 'hex'))
  assert.equal((await failing()).code, 'protocol')
})

test('an abort rejects with its reason', async () => {
  const abort = new AbortController()
  const reason = new Error('enough')
  answer = () => abort.abort(reason)
  assert.equal(await failing(abort.signal), reason)
})

test('a network that answers with its own page is unreachable, and transient', async () => {
  answer = (response) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<p>Log in')
  const error = await failing()
  assert.deepEqual([error.code, error.transient], ['unreachable', true])
  assert.match(error.message, /answered with text\/html$/)
})

test('a server that accepts and never answers is given up after ten seconds, and the request with it', async (t) => {
  let ended
  const closed = new Promise((resolve) => (ended = resolve))
  const heard = new Promise((resolve) => {
    answer = (response) => {
      response.on('close', ended)
      resolve()
    }
  })
  const timers = []
  t.mock.method(globalThis, 'setTimeout', (act, millis) => timers.push([act, millis]))
  const failed = failing()
  t.mock.restoreAll()
  await heard
  const [[act]] = timers.filter(([, millis]) => millis === 10_000)
  act()
  const error = await failed
  assert.deepEqual([error.code, error.transient], ['unreachable', true])
  await closed
})
