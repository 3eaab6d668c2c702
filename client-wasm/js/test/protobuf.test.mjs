import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as wire from '#wire'
import { decode, encode } from '../src/net/protobuf.js'

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const bytes = (text) => Uint8Array.from(Buffer.from(text, 'hex'))

test('a message is written field by field, and read again', () => {
  const notice = { hello: { ticket: 'abc', agent: 'me' } }
  const written = encode(wire.Notice, notice)
  assert.equal(hex(written), '0a090a036162631202' + Buffer.from('me').toString('hex'))
  assert.deepEqual(decode(wire.Notice, written).hello, notice.hello)
})

test('what was not sent reads as the value of its kind', () => {
  assert.deepEqual(decode(wire.Signal, new Uint8Array()), { description: undefined, candidate: undefined, attempt: 0 })
  assert.deepEqual(decode(wire.Status, new Uint8Array()), { details: [] })
})

test('numbers are exact up to 2^53 and may be negative', () => {
  const attempt = 2 ** 53 - 1
  assert.equal(decode(wire.Signal, encode(wire.Signal, { attempt })).attempt, attempt)
  // RetryInfo{retry_delay: Duration{seconds: -2^20}}
  assert.equal(decode(wire.RetryInfo, bytes('0a0b088080c0ffffffffffff01')).retry_delay.seconds, -(2 ** 20))
})

test('a field that is not in the table is skipped, whatever its type', () => {
  // Numbers 100 to 103: a varint, 8 bytes, 3 bytes, 4 bytes; then Ping{nonce: 5}.
  const unknown = 'a006ff01' + 'a9060102030405060708' + 'b206030a0b0c' + 'bd0601020304'
  const notice = decode(wire.Notice, Uint8Array.of(...bytes(unknown), ...encode(wire.Notice, { ping: { nonce: 5 } })))
  assert.equal(notice.ping.nonce, 5)
})

test('what is cut short inside a field is no message', () => {
  const written = encode(wire.Notice, { hello: { ticket: 'abc', agent: 'me' } })
  for (let length = 1; length < written.length; length++) {
    assert.equal(decode(wire.Notice, written.subarray(0, length)), undefined, `${length} bytes`)
  }
})

test('a varint that never ends is no message', () => {
  assert.equal(decode(wire.Notice, new Uint8Array(1 << 16).fill(255)), undefined)
})
