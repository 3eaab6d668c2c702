import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { memory, script } from '#engine'
import { makeCode, Operations } from '#ops'
import { FAULTS } from '#tables'
import { setMemory } from '../src/net/door.js'
import { Machine } from '../src/net/machine.js'

let calls
beforeEach(() => {
  setMemory(memory)
  calls = []
})

/** Answers every call with this. */
function answer(reply) {
  script.answer = (call) => {
    calls.push(call)
    return reply
  }
}

test('arguments cross as two numbers and bytes', () => {
  answer({ number: 1 })
  assert.equal(new Operations(7).send(3, true, new TextEncoder().encode('hi')), true)
  const [{ machine, a, b, bytes }] = calls
  assert.deepEqual([machine, a, b, Buffer.from(bytes).toString()], [7, 3, 1, 'hi'])
})

test('a reply of several is named, and a missing one is undefined', () => {
  answer({ number: 5, a: 6, b: 7 })
  assert.deepEqual(new Operations(0).counts(), { replayed: 5, duplicates: 6, dropped: 7 })
  answer({ number: 9, a: 12, b: 0, bytes: 'x' })
  const { told, a, bytes } = new Operations(0).poll()
  assert.deepEqual([told, a, Buffer.from(bytes).toString()], [9, 12, 'x'])
  answer({ number: -1 })
  assert.equal(new Operations(0).poll(), undefined)
  assert.equal(new Operations(0).transmit(0), undefined)
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
  assert.equal(caught(() => new Operations(0).take(0, new Uint8Array())).code, 'protocol')
})

test('a machine is made of an id, a proof and a name', () => {
  answer({ number: 4 })
  const machine = new Machine(new Uint8Array(16).fill(1), true, Uint8Array.of(9, 9), undefined, 'me')
  machine.ring()
  assert.equal(calls[0].a, 1)
  assert.equal(calls[0].b, 2)
  assert.deepEqual([...calls[0].bytes], [...new Array(16).fill(1), 9, 9, 109, 101])
  assert.equal(calls[1].machine, 4)
})

test('a pairing that is incomplete is refused before the engine is asked', () => {
  answer({ number: 0 })
  assert.equal(caught(() => new Machine(new Uint8Array(3), true, undefined, '1-a', 'me')).code, 'pairing-invalid')
  assert.equal(caught(() => new Machine(new Uint8Array(16), true, new Uint8Array(), undefined, 'me')).code, 'pairing-invalid')
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
