import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Channel } from '../src/api/channel.js'

/** A connection with room for so many messages, that holds what is sent. */
function carrier(room) {
  const it = { room, sent: [], arrived: [], calls: [], forgotten: 0 }
  it.send = (_, message) => {
    if (it.room === 0) return false
    it.room--
    it.sent.push(typeof message === 'string' ? message : [...message])
    return true
  }
  it.read = () => it.arrived.shift()
  it.finish = () => it.calls.push('finish')
  it.reset = (_, code) => it.calls.push(`reset ${code}`)
  it.pending = () => 10
  it.maxDatagram = () => 1_000
  it.reported = []
  it.isHeard = true
  it.channel = new Channel(it, 3, 'name', 'normal', true, {
    maxMessage: 64 << 20,
    forget: () => it.forgotten++,
    report: (error) => it.isHeard && it.reported.push(error.code ?? error.name) > 0,
  })
  return it
}

test('messages wait for room in the order of the calls, and are copies', async () => {
  const it = carrier(1)
  const bytes = Uint8Array.of(1, 2)
  const sent = [it.channel.send('one'), it.channel.send(bytes), it.channel.send('three')]
  await sent[0]
  bytes.fill(9)
  it.room = 1
  it.channel.writeReady()
  await sent[1]
  assert.deepEqual(it.sent, ['one', [1, 2]])
  it.room = 1
  it.channel.writeReady()
  await sent[2]
  assert.deepEqual(it.sent, ['one', [1, 2], 'three'])
})

test('a view sends exactly its part of the buffer', async () => {
  const it = carrier(1)
  await it.channel.send(new DataView(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2))
  assert.deepEqual(it.sent, [[2, 3]])
})

test('a send that is aborted while it waits is not sent', async () => {
  const it = carrier(0)
  const abort = new AbortController()
  const sent = it.channel.send('never', { signal: abort.signal })
  const next = it.channel.send('next')
  abort.abort(new Error('enough'))
  await assert.rejects(sent, /enough/)
  it.room = 5
  it.channel.writeReady()
  await next
  assert.deepEqual(it.sent, ['next'])
  assert.equal(it.channel.bufferedAmount, 10)
})

test('more than 64 MiB do not wait', async () => {
  const it = carrier(0)
  const large = new Uint8Array(33 << 20)
  void it.channel.send(large)
  await assert.rejects(it.channel.send(large), { code: 'too-large' })
})

test('finish waits until everything is sent and taken', async () => {
  const it = carrier(0)
  void it.channel.send('last')
  const finished = it.channel.finish()
  assert.deepEqual(it.calls, [])
  it.room = 1
  it.channel.writeReady()
  assert.deepEqual([it.sent, it.calls], [['last'], ['finish']])
  it.channel.flushed()
  await finished
  await assert.rejects(it.channel.send('more'), { code: 'closed' })
})

test('both directions done is a good end: readers see the end and nobody an error', async () => {
  const it = carrier(1)
  const read = it.channel.receive()
  let closed
  it.channel.on('close', (event) => (closed = event))
  void it.channel.finish()
  it.channel.flushed()
  it.channel.ended()
  assert.equal(await read, undefined)
  assert.deepEqual(closed, { error: null })
  assert.equal(it.forgotten, 1)
  await it.channel.closed
})

test('a reset of the other side rejects whoever waits, with its number', async () => {
  const it = carrier(0)
  const [sent, read] = [it.channel.send('one'), it.channel.receive()]
  it.channel.wasReset(17)
  for (const promise of [sent, read]) await assert.rejects(promise, { code: 'channel-reset', resetCode: 17 })
  assert.equal(it.channel.bufferedAmount, 0)
  assert.equal(it.channel.maxDatagramSize, 0)
})

test('a restart of the other side is a reset without a number', async () => {
  const it = carrier(0)
  const read = it.channel.receive()
  it.channel.wasReset(null)
  await assert.rejects(read, { code: 'channel-reset', resetCode: null })
})

test('messages wait until they are taken, and a listener takes them as they come', async () => {
  const it = carrier(0)
  it.arrived.push('one', Uint8Array.of(2))
  assert.equal(await it.channel.receive(), 'one')
  const got = []
  it.channel.on('message', (message) => got.push(message))
  await new Promise(setImmediate)
  assert.deepEqual([...new Uint8Array(got[0])], [2])
  it.arrived.push('three')
  it.channel.readReady()
  assert.equal(got[1], 'three')
})

test('a listener that was taken away takes nothing: what comes later waits', async () => {
  const it = carrier(0)
  const got = []
  it.channel.once('message', (message) => got.push(message))
  const other = (message) => got.push(message)
  it.channel.on('message', other).off('message', other)
  it.arrived.push('one', 'two', 'three')
  it.channel.readReady()
  assert.deepEqual(got, ['one'])
  assert.deepEqual([await it.channel.receive(), await it.channel.receive()], ['two', 'three'])
})

test('after a message was refused because too much waits, none passes before all of that has left', async () => {
  const it = carrier(0)
  const part = new Uint8Array(1 << 20)
  const sent = Array.from({ length: 64 }, () => it.channel.send(part))
  await assert.rejects(it.channel.send(part), { code: 'too-large' })
  it.room = 63
  it.channel.writeReady()
  await assert.rejects(it.channel.send('small'), { code: 'too-large' })
  assert.deepEqual(it.reported, ['too-large', 'too-large'])
  it.room = 2
  it.channel.writeReady()
  await Promise.all(sent)
  await it.channel.send('small')
  assert.equal(it.sent.at(-1), 'small')
  assert.equal(it.sent.length, 65)
})

test('a message that is longer than any may be is refused before a byte of it is copied', async (t) => {
  const it = carrier(9)
  t.mock.method(Uint8Array.prototype, 'slice', () => assert.fail('it was copied'))
  const large = [new ArrayBuffer((64 << 20) + 1), 'x'.repeat((64 << 20) + 1), 'ü'.repeat((32 << 20) + 1), '👋'.repeat((16 << 20) + 1)]
  for (const message of large) await assert.rejects(it.channel.send(message), { code: 'too-large' })
  assert.deepEqual(it.sent, [])
  await it.channel.send('ü'.repeat(32 << 20))
  assert.equal(it.sent.length, 1)
})

test('a send that nobody awaits tells why it failed, but for the end of its channel', async () => {
  const it = carrier(9)
  for (const data of [{}, null, undefined, 7, [1], () => {}, '\ud800', 'a\udc00b']) it.channel.send(data)
  it.channel.send(new ArrayBuffer((64 << 20) + 1))
  it.channel.reset()
  it.channel.send('lost')
  it.channel.send({})
  await new Promise(setImmediate)
  assert.deepEqual(it.reported, [...Array(8).fill('TypeError'), 'too-large', 'TypeError'])
  assert.deepEqual(it.sent, [])
})

test('with a listener of its own the channel tells it instead of the client, and without any the rejection is unhandled', async (t) => {
  const it = carrier(9)
  const unhandled = rejectionsThatNobodyHandles(t)
  const own = []
  const listener = (error) => own.push(error.name)
  it.channel.on('error', listener)
  it.channel.send({})
  await new Promise(setImmediate)
  assert.deepEqual([own, it.reported, unhandled], [['TypeError'], [], []])
  it.channel.off('error', listener)
  it.isHeard = false
  it.channel.send({})
  await assert.rejects(it.channel.send({}), TypeError)
  await new Promise(setImmediate)
  assert.deepEqual(unhandled, ['TypeError'])
})

test('a finish that nobody awaits fails quietly with its channel', async (t) => {
  const it = carrier(9)
  const unhandled = rejectionsThatNobodyHandles(t)
  it.channel.finish()
  const awaited = assert.rejects(it.channel.finish(), { code: 'closed' })
  it.channel.reset()
  await awaited
  await new Promise(setImmediate)
  assert.deepEqual(unhandled, [])
})

/** Their names, during a test. */
function rejectionsThatNobodyHandles(t) {
  const unhandled = []
  // The test runner listens as well, and would fail.
  const kept = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (error) => unhandled.push(error.name))
  t.after(() => {
    process.removeAllListeners('unhandledRejection')
    for (const it of kept) process.on('unhandledRejection', it)
  })
  return unhandled
}

test('blobs and files are sent as their bytes, in the order of the calls', async () => {
  const it = carrier(9)
  const sent = [
    it.channel.send('one'),
    it.channel.send(new Blob(['ab'])),
    it.channel.send('two'),
    it.channel.send(new File([Uint8Array.of(7)], 'name')),
    it.channel.send(new Blob([])),
    it.channel.send(''),
  ]
  await Promise.all(sent)
  assert.deepEqual(it.sent, ['one', [97, 98], 'two', [7], [], ''])
  assert.equal(it.channel.bufferedAmount, 10)
})

test('a blob that cannot be read, or is too long, is told and leaves no other message behind', async () => {
  const it = carrier(9)
  const broken = Object.assign(new Blob(['x']), { arrayBuffer: () => Promise.reject(new Error('gone')) })
  const long = Object.defineProperty(new Blob(['x']), 'size', { value: 65 << 20 })
  const sent = it.channel.send(broken)
  it.channel.send(long)
  await it.channel.send('next')
  await assert.rejects(sent, /cannot be read/)
  assert.deepEqual([it.sent, it.reported], [['next'], ['too-large', 'TypeError']])
})

test('finish waits for a blob that is being read, and a reset does not', async () => {
  const it = carrier(9)
  const sent = it.channel.send(new Blob(['ab']))
  void it.channel.finish()
  assert.deepEqual(it.calls, [])
  await sent
  assert.deepEqual([it.sent, it.calls], [[[97, 98]], ['finish']])
  const other = carrier(9)
  const lost = other.channel.send(new Blob(['ab']))
  other.channel.reset(20)
  await assert.rejects(lost, { code: 'closed' })
  assert.deepEqual([other.sent, other.calls], [[], ['reset 20']])
})

test('every view sends its part, shared memory is sent, and a buffer that was given away is refused', async () => {
  const it = carrier(20)
  const { buffer } = Uint8Array.from({ length: 16 }, (_, at) => at)
  const shared = new SharedArrayBuffer(2)
  new Uint8Array(shared).set([8, 9])
  await it.channel.send(new Uint16Array(buffer, 2, 2))
  await it.channel.send(new DataView(buffer, 15))
  await it.channel.send(Buffer.from('hi'))
  await it.channel.send(shared)
  await it.channel.send(new Uint8Array(shared, 1))
  await it.channel.send(new ArrayBuffer(0))
  assert.deepEqual(it.sent, [[2, 3, 4, 5], [15], [104, 105], [8, 9], [9], []])
  structuredClone(buffer, { transfer: [buffer] })
  await assert.rejects(it.channel.send(buffer), TypeError)
})
