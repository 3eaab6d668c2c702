// The reader of client-wasm/engine.ops.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rows } from '../build/ops.mjs'

test('a row has a name, arguments, a reply and its documentation', () => {
  const { op } = rows('/// Does it.\n/// Well.\nop DoIt(path: number, isDirect: flag, name: text) -> (a: number, bytes: bytes)?\n')
  const [row] = op
  assert.deepEqual([row.name, row.docs, row.isOptional, row.isRecord], ['DoIt', 'Does it. Well.', true, true])
  assert.deepEqual(row.takes.map((it) => it.shape), ['number', 'flag', 'text'])
  assert.deepEqual(row.gives.map((it) => it.name), ['a', 'bytes'])
})

test('what the door cannot carry is refused, with its line', () => {
  for (const line of [
    'op Much(a: number, b: number, c: flag, d: number)',
    'op Much() -> (a: number, b: number, c: number, d: number, e: flag)',
    'op Much() -> (a: text, b: bytes)',
    'op Odd(a: list)',
    'operation Odd()',
    'op',
  ]) {
    assert.throws(() => rows(`// A comment.\n${line}\n`), /line 2/, line)
  }
})
