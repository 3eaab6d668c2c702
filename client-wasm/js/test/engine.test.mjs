// The real module, as scripts/web built it: two machines in one process, without a network.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeCode, parseCode } from '#ops'
import { ENDS, Told } from '#tables'
import { Assembler } from '../src/net/assembler.js'
import { Machine } from '../src/net/machine.js'
import { real, skip } from './real.mjs'
import { Relay } from './relay.mjs'

test('codes are made and read, and what is none has the code of that', { skip }, async () => {
  await real()
  const code = makeCode('481920', 2)
  assert.match(code, /^481920-[a-z]+-[a-z]+$/)
  assert.equal(parseCode(code.toUpperCase().replaceAll('-', ' ')), code)
  assert.throws(() => parseCode('hello'), { code: 'code-malformed' })
  assert.throws(() => peer(true, undefined, Uint8Array.of(1)), { code: 'pairing-invalid' })
})

test('two machines agree on keys, and a message crosses in order', { skip }, async () => {
  await real()
  const peers = [true, false].map((isInitiator) => peer(isInitiator))
  pump(peers)
  assert.deepEqual(peers.map((it) => it.told.has(Told.Secured)), [true, true])
  assert.equal(peers[0].told.has(Told.Connected), true)
  const handle = peers[0].machine.open('chat', 1)
  assert.equal(peers[0].machine.send(handle, true, new TextEncoder().encode('grün')), true)
  pump(peers)
  const [opened] = peers[1].told.get(Told.Opened)
  assert.deepEqual([opened.b, opened.text], [1, 'chat'])
  assert.equal(new Assembler(peers[1].machine, 100).next(opened.a), 'grün')
  assert.throws(() => peers[0].machine.send(999, true, new Uint8Array(1)), { code: 'channel-reset' })
})

test('codes that differ end both sides with that code', { skip }, async () => {
  await real()
  const peers = [peer(true, '481920-tulip-ember'), peer(false, '481920-tulip-tulip')]
  pump(peers)
  for (const { told } of peers) {
    const [end] = told.get(Told.End)
    assert.equal(ENDS[end.a], 'code-mismatch')
  }
})

function peer(initiator, code, secret = code ? undefined : new Uint8Array(32).fill(2)) {
  const identity = { id: new Uint8Array(16).fill(1), initiator, secret, code, name: 'me', agent: 'test', mode: 0, patience: -1 }
  return { machine: new Machine(identity), told: new Map() }
}

const relays = new WeakMap()

/** Carries frames until there are none. */
function pump(peers) {
  const hear = (machine, { told, a, b, bytes }) => {
    const it = peers.find((peer) => peer.machine === machine).told
    it.set(told, [...(it.get(told) ?? []), { a, b, text: Buffer.from(bytes).toString() }])
  }
  if (!relays.has(peers)) relays.set(peers, new Relay(peers.map((it) => it.machine), hear))
  relays.get(peers).pump()
}
