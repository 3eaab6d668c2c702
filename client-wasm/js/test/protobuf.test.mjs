import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as wire from '#wire'
import { decode, encode } from '../src/net/protobuf.js'

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const bytes = (text) => Uint8Array.from(Buffer.from(text, 'hex'))

test('a message is written field by field, and read again', () => {
  const delay = { retry_delay: { seconds: 300, nanos: 5 } }
  const written = encode(wire.RetryInfo, delay)
  assert.equal(hex(written), '0a0508ac021005')
  assert.deepEqual(decode(wire.RetryInfo, written), delay)
})

test('what was not sent reads as the value of its kind', () => {
  assert.deepEqual(decode(wire.RetryInfo, new Uint8Array()), { retry_delay: undefined })
  assert.deepEqual(decode(wire.Any, new Uint8Array()), { type_url: '', value: new Uint8Array() })
  assert.deepEqual(decode(wire.Status, new Uint8Array()), { details: [] })
})

test('numbers are exact up to 2^53 and may be negative', () => {
  const seconds = 2 ** 53 - 1
  assert.equal(decode(wire.Duration, encode(wire.Duration, { seconds })).seconds, seconds)
  // RetryInfo{retry_delay: Duration{seconds: -2^20}}
  assert.equal(decode(wire.RetryInfo, bytes('0a0b088080c0ffffffffffff01')).retry_delay.seconds, -(2 ** 20))
})

test('a field that is not in the table is skipped, whatever its type', () => {
  // Numbers 100 to 103: a varint, 8 bytes, 3 bytes, 4 bytes; then Duration{seconds: 5}.
  const unknown = 'a006ff01' + 'a9060102030405060708' + 'b206030a0b0c' + 'bd0601020304'
  const delay = decode(wire.Duration, Uint8Array.of(...bytes(unknown), ...encode(wire.Duration, { seconds: 5 })))
  assert.equal(delay.seconds, 5)
})

test('what is cut short inside a field is no message', () => {
  const written = encode(wire.RetryInfo, { retry_delay: { seconds: 300, nanos: 5 } })
  for (let length = 1; length < written.length; length++) {
    assert.equal(decode(wire.RetryInfo, written.subarray(0, length)), undefined, `${length} bytes`)
  }
})

test('a varint that never ends is no message', () => {
  assert.equal(decode(wire.RetryInfo, new Uint8Array(1 << 16).fill(255)), undefined)
})
