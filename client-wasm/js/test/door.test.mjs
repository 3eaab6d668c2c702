import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { memory, script } from '#engine'
import { makeCode, Operations } from '#ops'
import { FAULTS } from '#tables'
import { setMemory, texts } from '../src/net/door.js'
import { Machine } from '../src/net/machine.js'

let calls
beforeEach(() => {
  setMemory(memory)
  calls = []
})

const IDENTITY = { id: new Uint8Array(16).fill(1), initiator: true, name: 'me', agent: 'test/1', mode: 2, patience: -1 }

/** Answers every call with this. */
function answer(reply) {
  script.answer = (call) => {
    calls.push(call)
    return reply
  }
}

test('arguments cross as numbers and bytes', () => {
  answer({ number: 1 })
  assert.equal(new Operations(7).send(3, true, new TextEncoder().encode('hi')), true)
  const [{ machine, a, b, bytes }] = calls
  assert.deepEqual([machine, a, b, Buffer.from(bytes).toString()], [7, 3, 1, 'hi'])
})

test('several texts and bytes cross in one, each behind its length', () => {
  answer({ number: 0 })
  new Operations(7).candidate(2 ** 53 - 1, 1, 'grün', '', 'x')
  const [{ a, b, bytes }] = calls
  assert.deepEqual([a, b], [2 ** 53 - 1, 1])
  assert.deepEqual(texts(bytes), ['grün', '', 'x'])
  assert.equal(Buffer.from(bytes).toString('hex'), '05000000' + Buffer.from('grün').toString('hex') + '00000000' + '01000000' + '78')
})

test('a reply of several is named, and a missing one is undefined', () => {
  answer({ number: 5, a: 6, b: 7 })
  assert.deepEqual(new Operations(0).counts(), { replayed: 5, duplicates: 6, dropped: 7 })
  answer({ number: 9, a: 12, b: 0, c: 3, bytes: 'x' })
  const { told, a, c, bytes } = new Operations(0).poll()
  assert.deepEqual([told, a, c, Buffer.from(bytes).toString()], [9, 12, 3, 'x'])
  answer({ number: -1 })
  assert.equal(new Operations(0).poll(), undefined)
  assert.equal(new Operations(0).transmitLeg(0), undefined)
})

test('a failure is a code and a message, and the message decides nothing', () => {
  for (const [a, code] of FAULTS.entries()) {
    const message = 'tampered|code-mismatch|closed'
    answer({ number: NaN, a, bytes: message })
    const error = caught(() => makeCode('123456', 2))
    assert.equal(error.cause ?? error.code, code)
    assert.equal(error.message, message)
  }
})

test('a failure with a number that is unknown is one of the protocol', () => {
  answer({ number: NaN, a: 200, bytes: 'what?' })
  assert.equal(caught(() => new Operations(0).takeLeg(0, new Uint8Array())).code, 'protocol')
})

test('a machine is made of an id, a proof and a name', () => {
  answer({ number: 4 })
  const machine = new Machine({ ...IDENTITY, secret: Uint8Array.of(9, 9) })
  machine.ring()
  assert.deepEqual([calls[0].a, calls[0].b, calls[0].c], [1, 2, -1])
  assert.deepEqual(texts(calls[0].bytes), ['\u0001'.repeat(16), '\t\t', 'me', 'test/1', ''])
  assert.equal(calls[1].machine, 4)
})

test('a pairing that is incomplete is refused before the engine is asked', () => {
  answer({ number: 0 })
  assert.equal(caught(() => new Machine({ ...IDENTITY, id: new Uint8Array(3), code: '1-a' })).code, 'pairing-invalid')
  assert.equal(caught(() => new Machine({ ...IDENTITY, secret: new Uint8Array() })).code, 'pairing-invalid')
  assert.equal(calls.length, 0)
})

function caught(act) {
  try {
    act()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
