import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FAULTS } from '#tables'
import * as errors from '../src/api/errors.js'
import { Control } from '../src/net/control.js'
import { abortable, failure } from '../src/net/failure.js'
import { sources } from '../src/transfer/sources.js'

const CLASSES = {
  unsupported: 'UnsupportedError',
  'code-malformed': 'CodeError',
  'code-not-found': 'CodeError',
  'code-mismatch': 'CodeError',
  'pairing-invalid': 'PairingInvalidError',
  'rate-limited': 'RateLimitedError',
  unreachable: 'UnreachableError',
  refused: 'RefusedError',
  protocol: 'ProtocolError',
  'channel-reset': 'ChannelResetError',
  'too-large': 'TooLargeError',
  busy: 'BusyError',
  'no-path': 'NoPathError',
}

test('a code makes an error of its class', () => {
  for (const [code, name] of Object.entries(CLASSES)) {
    const error = failure(code, 'why')
    assert.equal(error instanceof errors[name], true, code)
    assert.equal(error instanceof errors.PeerSoxError, true, code)
    assert.deepEqual([error.code, error.name], [code, name])
  }
})

test('only what may pass by itself is transient', () => {
  const transient = Object.keys(CLASSES).filter((code) => failure(code, '').transient)
  assert.deepEqual(transient, ['rate-limited', 'unreachable', 'no-path'])
})

test('every code of the engine makes an error with that code', () => {
  for (const code of FAULTS) {
    const error = failure(code, 'why')
    assert.equal(error.cause ?? error.code, code)
  }
})

test('an abort ends the wait, runs undo once, and leaves nothing behind', async () => {
  const abort = new AbortController()
  let undone = 0
  const waiting = abortable(new Promise(() => {}), abort.signal, () => undone++)
  abort.abort(new Error('enough'))
  await assert.rejects(waiting, /enough/)
  assert.equal(undone, 1)
  assert.equal(await abortable(Promise.resolve(5), new AbortController().signal), 5)
})

test('in the jsdom of Jest 29, which has neither `throwIfAborted` nor `fetch`, what is missing is named', async (t) => {
  const { throwIfAborted } = AbortSignal.prototype
  const { fetch } = globalThis
  t.after(() => {
    AbortSignal.prototype.throwIfAborted = throwIfAborted
    globalThis.fetch = fetch
  })
  delete AbortSignal.prototype.throwIfAborted
  delete globalThis.fetch
  const control = new Control('http://127.0.0.1:1', Promise.resolve(), () => {})
  const { signal } = new AbortController()
  await assert.rejects(control.create({ signal }), { code: 'unsupported', message: /fetch/ })
  assert.equal((await sources([{ path: 'file', data: 'text' }], signal)).length, 1)
})
