// Codes that were redeemed by calls which were given up.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Joins } from '../src/net/joins.js'

const settled = () => new Promise(setImmediate)

/** What was kept, and what was withdrawn. */
function begun(t) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const it = { joins: new Joins(), withdrawn: [] }
  it.leave = (joined) => it.joins.leave('s', '123456', joined, async (pairing) => void it.withdrawn.push(pairing))
  return it
}

test('the next call with the code gets what came of it, once, before or after the answer', async (t) => {
  const it = begun(t)
  let answer
  const joined = new Promise((resolve) => (answer = resolve))
  it.leave(joined)
  assert.equal(it.joins.take('other', '123456'), undefined)
  assert.equal(it.joins.take('s', '123456'), joined)
  assert.equal(it.joins.take('s', '123456'), undefined)
  answer('pairing')
  await settled()
  t.mock.timers.tick(60_000)
  assert.deepEqual(it.withdrawn, [])
  it.leave(joined)
  await settled()
  assert.equal(await it.joins.take('s', '123456'), 'pairing')
})

test('what nobody takes is withdrawn, and a call that failed leaves nothing', async (t) => {
  const it = begun(t)
  it.leave(Promise.resolve('pairing'))
  await settled()
  t.mock.timers.tick(60_000)
  assert.deepEqual(it.withdrawn, ['pairing'])
  it.leave(Promise.reject(new Error('not found')))
  await settled()
  assert.equal(it.joins.take('s', '123456'), undefined)
})

test('a second one that is given up takes the place of the first, and is not withdrawn with it', async (t) => {
  const it = begun(t)
  it.leave(Promise.resolve('pairing'))
  await settled()
  const again = it.joins.take('s', '123456')
  t.mock.timers.tick(9_000)
  it.leave(again)
  await settled()
  t.mock.timers.tick(9_000)
  assert.deepEqual(it.withdrawn, [])
  t.mock.timers.tick(9_000)
  assert.deepEqual(it.withdrawn, ['pairing'])
})
