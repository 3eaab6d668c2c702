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
  it.channel = new Channel(it, 3, 'name', 'normal', true, () => it.forgotten++)
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
