// Messages of several kinds, for listeners that come and go, and for readers.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Intake, MAX_HELD } from '../src/api/intake.js'

const kindOf = (message) => (typeof message === 'string' ? 'text' : 'bytes')
const soon = () => new Promise(setImmediate)

/** What arrives, and who listens to which kind. */
function flow(...arrived) {
  const it = { arrived, text: null, bytes: null, full: 0 }
  it.intake = new Intake({
    take: () => it.arrived.shift(),
    isHeard: () => it.text !== null || it.bytes !== null,
    hears: (message) => it[kindOf(message)] !== null,
    push: (message) => it[kindOf(message)](message),
    sizeOf: (message) => message.length,
    full: () => it.full++,
  })
  /** Sets a listener, as the client's setters do. */
  it.set = (kind, listener) => {
    it[kind] = listener
    it.intake.readySoon()
  }
  return it
}

test('listeners that are set one after the other each get their kind, in either order', async () => {
  for (const order of [['text', 'bytes'], ['bytes', 'text']]) {
    const it = flow([1], 'text', [2])
    const got = []
    for (const kind of order) it.set(kind, (message) => got.push(message))
    await soon()
    assert.deepEqual(got, [[1], 'text', [2]])
  }
})

test('a kind that nobody hears waits, and does not stop the other one', async () => {
  const it = flow([1], 'one', [2], 'two')
  const texts = []
  it.set('text', (message) => texts.push(message))
  await soon()
  assert.deepEqual(texts, ['one', 'two'])
  assert.deepEqual(await it.intake.receive(), [1])
  const bytes = []
  it.set('bytes', (message) => bytes.push(message))
  await soon()
  assert.deepEqual(bytes, [[2]])
})

test('what waits unheard is bounded: then its sender is stopped, which is told once', async () => {
  const large = Array.from({ length: 4 }, (_, at) => new Uint8Array(MAX_HELD / 2).fill(at))
  const it = flow(...large, 'text')
  const got = []
  it.set('text', (message) => got.push(message))
  await soon()
  it.intake.ready()
  assert.deepEqual([got, it.arrived.length, it.full], [[], 3, 1])
  for (const it of large) got.push(it[0])
  it.set('bytes', (message) => got.push(message[0]))
  await soon()
  assert.deepEqual(got, [0, 1, 2, 3, 0, 1, 2, 3, 'text'])
})

test('a message that a listener causes comes after everybody was told of the one before', async () => {
  const it = flow('one')
  const got = []
  it.text = (message) => {
    if (message === 'one') {
      it.arrived.push('two')
      it.intake.ready()
    }
    got.push(message)
  }
  it.intake.ready()
  assert.deepEqual(got, ['one', 'two'])
})

test('leaving an iterator takes nothing that comes later', async () => {
  const it = flow()
  const iterator = it.intake[Symbol.asyncIterator]()
  const next = iterator.next()
  await iterator.return()
  assert.deepEqual(await next, { done: true, value: undefined })
  it.arrived.push('later')
  it.intake.ready()
  assert.equal(await it.intake.receive(), 'later')
})

test('a stream that was cancelled takes nothing that comes later, and another one can be had', async () => {
  const it = flow()
  const reader = it.intake.readable.getReader()
  const read = reader.read()
  await reader.cancel()
  assert.equal((await read).done, true)
  it.arrived.push('later')
  it.intake.ready()
  const [again] = [it.intake.readable.getReader()]
  assert.equal((await again.read()).value, 'later')
})

test('a read that was aborted takes nothing', async () => {
  const it = flow()
  const enough = new AbortController()
  const read = it.intake.receive(enough.signal)
  enough.abort(new Error('enough'))
  await assert.rejects(read, /enough/)
  it.arrived.push('later')
  it.intake.ready()
  assert.equal(await it.intake.receive(), 'later')
})

test('what was held is there after the end', async () => {
  const it = flow([1], 'text')
  it.set('text', () => {})
  await soon()
  it.intake.end()
  assert.deepEqual([await it.intake.receive(), await it.intake.receive()], [[1], undefined])
})
