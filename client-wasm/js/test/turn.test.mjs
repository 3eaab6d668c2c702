// Calls of a client that end by themselves, by their signal, or because the client is closed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turn } from '../src/api/turn.js'

/** Never done, but for its signal. */
const forever = (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

test('closing ends every call, and what is begun afterwards is not concerned', async () => {
  const turn = new Turn()
  const calls = [turn.run(undefined, forever), turn.make(undefined, forever)]
  turn.end()
  for (const call of calls) await assert.rejects(call, { code: 'closed', reason: 'closed' })
  assert.equal(await turn.make(undefined, async (signal) => signal.aborted), false)
})

test('a pairing can be made at once after closing, and one at a time', async () => {
  const turn = new Turn()
  const first = turn.make(undefined, forever)
  await assert.rejects(turn.make(undefined, forever), { code: 'busy' })
  turn.end()
  const second = turn.make(undefined, forever)
  await assert.rejects(first, { code: 'closed' })
  // The end of the first call is not that of the second.
  await assert.rejects(turn.make(undefined, forever), { code: 'busy' })
  turn.end()
  await assert.rejects(second, { code: 'closed' })
})

test('the signal of the caller ends its call alone', async () => {
  const turn = new Turn()
  const enough = new AbortController()
  const [one, other] = [turn.run(enough.signal, forever), turn.run(undefined, forever)]
  enough.abort(new Error('enough'))
  await assert.rejects(one, /enough/)
  await assert.rejects(turn.run(AbortSignal.abort(new Error('before')), async (signal) => signal.throwIfAborted()), /before/)
  turn.end()
  await assert.rejects(other, { code: 'closed' })
})

test('a call that nobody awaits is unhandled if it fails, and not if the client was closed', async (t) => {
  const turn = new Turn()
  const unhandled = []
  const kept = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (error) => unhandled.push(error.message))
  t.after(() => {
    process.removeAllListeners('unhandledRejection')
    for (const it of kept) process.on('unhandledRejection', it)
  })
  void turn.make(undefined, forever)
  turn.end()
  void turn.make(undefined, async () => {
    throw new Error('failed')
  })
  await new Promise(setImmediate)
  assert.deepEqual(unhandled, ['failed'])
})
