// A transfer whose machine takes the steps of a script: what becomes of a file that was begun.

import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { memory, script } from '#transfer'
import { Ask, Why } from '#tables'
import { IncomingTransfer } from '../src/transfer/incoming.js'
import { setMemory } from '../src/transfer/machines.js'

beforeEach(() => {
  setMemory(memory)
  script.steps = []
  script.calls = []
})

/** A channel that nothing comes from. */
const channel = () => ({ isOver: false, overBy: null, takeNow: () => {}, trySend: () => true, finish: async () => {}, on: () => {} })

/** Takes a transfer that ends like this after its first bytes; gives what the sink and whoever waits were told. */
async function ended(why, message) {
  script.steps = [{ ask: Ask.Offered }, { ask: Ask.Take }]
  const transfer = new IncomingTransfer(channel())
  assert.equal(await transfer.offered(), true)
  script.steps = [{ ask: Ask.Write }, { ask: Ask.Failed, why, message }, { ask: Ask.Finished }]
  const told = []
  const writer = { write: () => {}, close: () => told.push('closed'), abort: (error, resumable) => told.push([error.code, resumable]) }
  const error = await transfer.accept({ open: () => writer }).catch((it) => it)
  return { told, error, state: transfer.state }
}

test('a file with another hash is not resumable', async () => {
  const { told, state } = await ended(Why.Damaged, 'its hash is not the announced one')
  assert.deepEqual(told, [['transfer-failed', false]])
  assert.equal(state, 'failed')
})

test('a file that broke off is resumable, also if its message speaks of damage', async () => {
  for (const [why, code, state] of [
    [Why.Failed, 'transfer-failed', 'failed'],
    [Why.Cancelled, 'transfer-cancelled', 'cancelled'],
    [Why.Declined, 'transfer-declined', 'declined'],
  ]) {
    const it = await ended(why, 'the other side says: damaged')
    assert.deepEqual(it.told, [[code, true]])
    assert.equal(it.error.code, code)
    assert.equal(it.state, state)
  }
})

test('a machine is freed when its transfer is over', async () => {
  await ended(Why.Failed, 'over')
  assert.deepEqual(script.calls, ['accept', 'free'])
})
