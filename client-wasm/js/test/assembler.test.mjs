import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Assembler } from '../src/net/assembler.js'

const TEXT = 1
const LAST = 2

/** A machine with these pieces to read, by channel. */
function machine(pieces) {
  const resets = []
  return {
    resets,
    read: (channel) => {
      const piece = pieces[channel]?.shift()
      if (!piece) return undefined
      const bytes = typeof piece.bytes === 'string' ? new TextEncoder().encode(piece.bytes) : piece.bytes
      return { kind: piece.kind, bytes }
    },
    reset: (channel, code) => resets.push([channel, code]),
  }
}

test('a message in one piece is a copy of what the engine lent', () => {
  const lent = Uint8Array.of(1, 2, 3)
  const assembler = new Assembler(machine({ 4: [{ kind: LAST, bytes: lent }] }), 100)
  const message = assembler.next(4)
  lent.fill(0)
  assert.deepEqual([...message], [1, 2, 3])
})

test('pieces make one message, also with those of another channel between them', () => {
  const pieces = { 1: [{ kind: TEXT, bytes: 'gr' }], 2: [{ kind: LAST | TEXT, bytes: 'other' }] }
  const assembler = new Assembler(machine(pieces), 100)
  assert.equal(assembler.next(1), undefined)
  assert.equal(assembler.next(2), 'other')
  pieces[1].push({ kind: TEXT, bytes: new TextEncoder().encode('ü').subarray(0, 1) })
  assert.equal(assembler.next(1), undefined)
  pieces[1].push({ kind: TEXT | LAST, bytes: new TextEncoder().encode('ün').subarray(1) })
  assert.equal(assembler.next(1), 'grün')
})

test('a message above the limit resets its channel, however it is cut', () => {
  const it = machine({ 1: [{ kind: 0, bytes: new Uint8Array(6) }, { kind: LAST, bytes: new Uint8Array(5) }] })
  assert.throws(() => new Assembler(it, 10).next(1), { code: 'channel-reset' })
  assert.deepEqual(it.resets, [[1, 3]])
})

test('a message of exactly the limit passes', () => {
  const it = machine({ 1: [{ kind: 0, bytes: new Uint8Array(6) }, { kind: LAST, bytes: new Uint8Array(4) }] })
  assert.equal(new Assembler(it, 10).next(1).length, 10)
})

test('text that is not UTF-8 resets its channel', () => {
  const it = machine({ 1: [{ kind: TEXT | LAST, bytes: Uint8Array.of(0xff) }] })
  assert.throws(() => new Assembler(it, 10).next(1), { code: 'channel-reset' })
  assert.deepEqual(it.resets, [[1, 4]])
})

test('a channel that is forgotten begins anew', () => {
  const pieces = { 1: [{ kind: 0, bytes: Uint8Array.of(1) }] }
  const assembler = new Assembler(machine(pieces), 10)
  assembler.next(1)
  assembler.forget(1)
  pieces[1].push({ kind: LAST, bytes: Uint8Array.of(2) })
  assert.deepEqual([...assembler.next(1)], [2])
})
