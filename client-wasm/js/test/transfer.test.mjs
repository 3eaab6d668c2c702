// A transfer whose machine takes the steps of a script: what becomes of a file that was begun.

import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { memory, script } from '#transfer'
import { Ask, Why } from '#tables'
import { Agreements } from '../src/transfer/agreements.js'
import { IncomingTransfer } from '../src/transfer/incoming.js'
import { setMemory } from '../src/transfer/machines.js'

beforeEach(() => {
  setMemory(memory)
  script.steps = []
  script.calls = []
  script.digest = undefined
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

test('an answer is for one offer, whatever its id, and lasts until it is declined or cancelled', async () => {
  const agreements = new Agreements()
  const offered = async (digest) => {
    script.digest = digest
    script.steps = [{ ask: Ask.Offered }, { ask: Ask.Take }]
    const transfer = new IncomingTransfer(channel(), agreements)
    assert.equal(await transfer.offered(), true)
    return transfer
  }
  const photo = await offered(1)
  assert.equal(photo.agreed, false)
  script.steps = [{ ask: Ask.Finished }]
  await photo.accept({ open: () => {} })
  const again = await offered(1)
  const other = await offered(2)
  assert.equal(again.id, other.id)
  assert.deepEqual([again.agreed, other.agreed], [true, false])
  again.cancel()
  assert.equal((await offered(1)).agreed, false)
  other.decline()
  assert.equal((await offered(2)).agreed, false)
})

test('a file that the other side cannot read is dropped, and the rest is stored', async () => {
  script.steps = [{ ask: Ask.Offered }, { ask: Ask.Take }]
  const transfer = new IncomingTransfer(channel())
  await transfer.offered()
  script.steps = [{ ask: Ask.Write }, { ask: Ask.EntryFailed }, { ask: Ask.Store }, { ask: Ask.Finished }]
  const told = []
  const writer = { write: () => {}, close: () => told.push('closed'), abort: (_, resumable) => told.push(resumable) }
  const sink = { open: () => writer, complete: () => told.push('complete') }
  const error = await transfer.accept(sink).catch((it) => it)
  assert.deepEqual(told, [false, 'complete'])
  assert.match(error.message, /could not read a file; the others are here/)
  assert.equal(transfer.state, 'failed')
})

test('a pause is told to the other side, and one there is told here', async () => {
  script.steps = [{ ask: Ask.Offered }, { ask: Ask.Take }]
  const transfer = new IncomingTransfer(channel())
  await transfer.offered()
  transfer.pause()
  transfer.resume()
  assert.deepEqual(script.calls, ['pause true', 'pause false'])
})
