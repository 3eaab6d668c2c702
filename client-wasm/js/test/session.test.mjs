// A session whose machine is scripted: it tells what a test gives it, and keeps what it is asked for.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cause, End, Told } from '#tables'
import { Session } from '../src/api/session.js'
import { joined } from '../src/net/door.js'
import { failure } from '../src/net/failure.js'

const PAIRING = { server: 'https://example.org', id: '00'.repeat(16), role: 'joiner', credential: 'AA==', secret: 'AA==' }

/** The interface of a machine; every operation is kept in `calls`. */
class ScriptedMachine {
  calls = []
  news = []
  pieces = new Map()
  handles = 0

  constructor(given) {
    this.given = given
    for (const name of ['ring', 'finish', 'reset', 'ping', 'close', 'wake', 'sessionOpened', 'sessionFailed']) {
      this[name] = (...args) => void this.calls.push([name, ...args])
    }
  }

  secret = () => Uint8Array.of(1, 2, 3)
  rtt = () => undefined
  poll = () => this.news.shift()
  timeout = () => Infinity
  open = () => ++this.handles
  send = () => true
  sendDatagram = () => true
  read = (channel) => this.pieces.get(channel)?.shift()
  readDatagram = () => undefined
  pending = () => 0
  maxDatagram = () => 1_000
  counts = () => ({ replayed: 1, duplicates: 2, dropped: 3 })
}

/** A session with a machine that a test scripts. No server answers it. */
function begun(t, pairing = PAIRING) {
  const it = { events: [], opened: [], begun: 0, ends: [], machines: [], asked: [] }
  const control = {
    openSession: () => new Promise(() => {}),
    noteAnswer: () => {},
    watchCode: async (_, signal, tell) => Object.assign(it, { watched: signal, tellOfCode: tell }),
    revoke: async (pairing) => void it.asked.push(['revoke', pairing.id]),
    leave: (code) => void it.asked.push(['leave', code]),
  }
  const Machine = class extends ScriptedMachine {
    constructor(given) {
      super(given)
      it.machines.push(this)
    }
  }
  it.session = new Session(control, { webrtc: 'off' }, {
    emit: (type, value) => it.events.push([type, value]),
    begun: () => it.begun++,
    opened: (channel) => it.opened.push(channel),
    report: () => true,
    ended: (error) => it.ends.push(error),
  })
  it.begin = () => it.session.begin({ Machine }, pairing)
  it.begin()
  /** The machine tells this. What is done to the session makes it look. */
  it.tell = (told, a = 0, b = 0, c = 0, ...text) => {
    const machine = it.machines.at(-1)
    const parts = text.map((it) => new TextEncoder().encode(it))
    machine.news.push({ told, a, b, c, bytes: parts.length > 1 ? joined(...parts) : (parts[0] ?? new Uint8Array()) })
    it.session.ping()
  }
  it.calls = (name) => it.machines.at(-1).calls.filter(([call]) => call === name)
  // A shell that is open keeps a timer.
  t.after(() => {
    it.machines.at(-1).news.push({ told: Told.End, a: End.Closed, b: 0, c: 0, bytes: new Uint8Array() })
    it.session.close(0)
  })
  return it
}

test('a pairing makes a machine with its secret', (t) => {
  const { machines, session } = begun(t)
  const { id, initiator, secret, code, patience } = machines[0].given
  assert.deepEqual([id.length, initiator, [...secret], code, patience], [16, false, [0], undefined, -1])
  assert.equal(session.status.server, 'connecting')
})

test('peers that are sure of each other meet once, and their secret is kept', (t) => {
  const { session, tell, events } = begun(t)
  tell(Told.Secured, 0, 0, 0, 'three short words', 'Anna\nLaptop')
  tell(Told.Connected)
  const told = { phrase: 'three short words', name: 'Anna\nLaptop' }
  assert.deepEqual(events, [
    ['peer.secured', told],
    ['peer.connected', { path: 'relay', ...told }],
  ])
  assert.equal(session.pairing.secret, 'AQID')
  assert.equal(session.isConnected, true)
})

test('a message goes to its channel, piece by piece', async (t) => {
  const { tell, opened, machines } = begun(t)
  tell(Told.Opened, 5, 2, 0, 'files')
  const [channel] = opened
  assert.deepEqual([channel.name, channel.priority, channel.mine], ['files', 'bulk', false])
  const read = channel.receive()
  machines[0].pieces.set(5, [
    { kind: 1, bytes: new TextEncoder().encode('hel') },
    { kind: 3, bytes: new TextEncoder().encode('lo') },
  ])
  tell(Told.Readable, 5)
  assert.equal(await read, 'hello')
})

test('a restart of the other side resets the channels of before, and no other', async (t) => {
  const { session, tell, events } = begun(t)
  const [old, young] = [session.open('old', 'normal'), session.open('young', 'normal')]
  tell(Told.Connected)
  tell(Told.Restarted, 2)
  await old.closed
  assert.deepEqual([old.isOver, young.isOver], [true, false])
  tell(Told.Connected)
  assert.deepEqual(events.at(-1), ['peer.back', { path: 'relay', restarted: true }])
})

test('a channel that is over is not told anything more', (t) => {
  const { session, tell, calls } = begun(t)
  const channel = session.open('one', 'normal')
  channel.reset(20)
  assert.deepEqual(calls('reset'), [['reset', 1, 20]])
  const closed = []
  channel.on('close', () => closed.push(1))
  tell(Told.Reset, 1, 7)
  tell(Told.Readable, 1)
  assert.deepEqual(closed, [])
})

test('the other side being done ends it: channels, whoever waits, one event each', async (t) => {
  const { session, tell, events, ends } = begun(t)
  tell(Told.Connected)
  const channel = session.open('one', 'normal')
  const [sent, pong] = [channel.receive(), session.wait(session.whenPong)]
  tell(Told.End, End.PeerClosed, 0, -1, 'the other peer is done')
  assert.equal(await sent, undefined)
  await assert.rejects(pong, { code: 'closed', reason: 'peer-closed' })
  assert.deepEqual(ends, [null])
  const [gone, closed] = events.slice(-2)
  assert.deepEqual(gone, ['peer.gone', { reason: 'peer-closed' }])
  assert.deepEqual([closed[0], closed[1].reason, closed[1].error], ['closed', 'peer-closed', null])
  assert.throws(() => session.open('more', 'normal'), { code: 'closed', reason: 'peer-closed' })
})

test('a farewell that is answered ends as closed by this side', async (t) => {
  const { session, tell, events, calls } = begun(t)
  tell(Told.Path, 1)
  tell(Told.Connected)
  session.close(60_000)
  assert.deepEqual(calls('close'), [['close', 60_000]])
  assert.equal(session.isOpen, true)
  session.wait(session.whenPong).catch(() => {})
  tell(Told.End, End.Closed, 1, -1, 'this side closed the connection')
  assert.equal(events.at(-1)[1].reason, 'closed')
})

test('a listener that calls the session is not disturbed, and order is kept', (t) => {
  const { session, tell, opened } = begun(t)
  tell(Told.Opened, 5, 1, 0, 'one')
  const heard = []
  opened[0].on('writable', () => {
    heard.push('writable')
    session.ping()
    heard.push('after the call')
  })
  tell(Told.Writable, 5)
  assert.deepEqual(heard, ['writable', 'after the call'])
})

test('another pairing has channels of its own, though handles repeat', async (t) => {
  const { session, tell, begin, machines, ends } = begun(t)
  const old = session.open('old', 'normal')
  tell(Told.End, End.PeerClosed, 0, -1, 'the other peer is done')
  await old.closed
  begin()
  const young = session.open('young', 'normal')
  old.reset(1)
  await assert.rejects(old.send('lost'), { code: 'closed' })
  assert.equal(young.isOver, false)
  assert.deepEqual(machines[1].calls.filter(([call]) => call === 'reset'), [])
  assert.equal(ends.length, 1)
})

test('a message that is too long resets its channel with an error, and nothing else', async (t) => {
  const { tell, opened, machines, session } = begun(t)
  tell(Told.Opened, 5, 0, 0, 'one')
  const read = opened[0].receive()
  machines[0].pieces.set(5, [{ kind: 2, bytes: { length: (64 << 20) + 1 } }])
  tell(Told.Readable, 5)
  await assert.rejects(read, { code: 'channel-reset' })
  assert.equal(session.isOpen, true)
})

test('what a machine throws for a name reaches the caller as it is', (t) => {
  const { session, machines } = begun(t)
  machines[0].open = () => {
    throw failure('busy', 'too many channels')
  }
  assert.throws(() => session.open('one', 'normal'), { code: 'busy' })
})

test('a leg that is lost is told with its cause, and who waited in vain hears that the peer is gone', (t) => {
  const { tell, events, session } = begun(t)
  tell(Told.Attached, 1, 1, 0)
  assert.equal(session.status.server, 'connected')
  tell(Told.LegLost, Cause.Silent, -1, 250, 'the relay does not answer')
  assert.deepEqual(events.at(-1), ['server.closed', { cause: 'silent', reason: 'the relay does not answer', code: null, retryIn: 250 }])
  tell(Told.AttemptFailed, Cause.PeerLost, 4002, -1, 'lost')
  assert.deepEqual(events.slice(-2), [
    ['server.closed', { cause: 'peer-lost', reason: 'lost', code: 4002, retryIn: null }],
    ['peer.gone', { reason: 'lost' }],
  ])
  assert.equal(session.status.server, 'connecting')
})

test('every end of the engine has its reason, and its error', async (t) => {
  for (const [end, reason, code] of [
    [End.Closed, 'closed', undefined],
    [End.PeerClosed, 'peer-closed', undefined],
    [End.Revoked, 'revoked', 'pairing-invalid'],
    [End.Replaced, 'replaced', undefined],
    [End.CodeMismatch, 'code-mismatch', 'code-mismatch'],
    [End.Tampered, 'tampered', 'protocol'],
    [End.Protocol, 'protocol', 'protocol'],
    [End.Refused, 'failed', 'unreachable'],
    [End.NoLeg, 'failed', 'unreachable'],
  ]) {
    const { tell, events } = begun(t)
    tell(Told.End, end, 0, -1, 'why')
    const [type, { error, ...closed }] = events.at(-1)
    assert.deepEqual([type, closed.reason, error?.code], ['closed', reason, code])
    assert.match(closed.message, /why$/)
  }
})

let pairings = 0
/** A pairing with a code that was never used. */
function fresh(role, code = '481920-tulip-ember') {
  const { secret: _, ...rest } = PAIRING
  return { ...rest, role, code, id: String(++pairings).padStart(32, '0') }
}

test('a code that nobody has used is withdrawn, and one that was used is not', async (t) => {
  const waiting = begun(t, fresh('initiator'))
  await waiting.session.abandon()
  assert.deepEqual(waiting.asked.map(([name]) => name), ['revoke'])
  assert.equal(waiting.watched.aborted, true)
  const used = begun(t, fresh('initiator'))
  used.tell(Told.PeerOnline)
  assert.equal(used.events.at(-1)[0], 'pairing.joined')
  assert.deepEqual([used.session.abandon(), used.asked], [null, []])
  const expired = begun(t, fresh('initiator'))
  expired.tellOfCode('expired')
  assert.deepEqual([expired.session.abandon(), expired.asked], [null, []])
  const kept = begun(t)
  assert.deepEqual([kept.session.abandon(), kept.asked], [null, []])
})

test('a code that was redeemed and not tried can be typed again, one with a leg cannot', (t) => {
  const typed = begun(t, fresh('joiner'))
  assert.equal(typed.session.abandon(), null)
  assert.deepEqual(typed.asked, [['leave', '481920-tulip-ember']])
  assert.deepEqual([typed.session.isOpen, typed.events.at(-1)[1].reason], [false, 'closed'])
  const attached = begun(t, fresh('joiner'))
  attached.tell(Told.Attached, 1, 0, 1)
  assert.equal(attached.session.abandon(), null)
  assert.deepEqual([attached.session.isOpen, attached.asked], [true, []])
})

test('a code that was tried is spent: it is told, not kept, and connects no second time', (t) => {
  const pairing = fresh('joiner')
  const { tell, events, session, begin } = begun(t, pairing)
  const other = fresh('joiner', 'code of this test')
  const typed = begun(t, other)
  typed.tell(Told.CodeUsed)
  typed.tell(Told.End, End.CodeMismatch, 0, -1, 'no')
  // The same code, and another pairing that a server says it leads to.
  assert.throws(() => begun(t, { ...other, id: 'f'.repeat(32) }), { code: 'pairing-invalid' })
  tell(Told.CodeUsed)
  assert.deepEqual(events.at(-1), ['code.used', { pairingId: pairing.id }])
  assert.deepEqual([session.pairing.id, session.pairing.code], [pairing.id, undefined])
  tell(Told.End, End.CodeMismatch, 0, -1, 'no')
  assert.throws(begin, { code: 'pairing-invalid' })
})

test('who shows codes gives three guesses in an hour, and right ones do not count', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1e12 })
  const guess = (isRight) => {
    const { tell } = begun(t, fresh('initiator'))
    tell(Told.CodeUsed)
    if (isRight) tell(Told.Secured, 0, 0, 0, 'three short words', 'Anna')
    tell(Told.End, isRight ? End.Closed : End.CodeMismatch, 0, -1, 'no')
  }
  for (let right = 0; right < 5; right++) guess(true)
  for (let wrong = 0; wrong < 3; wrong++) guess(false)
  assert.throws(() => guess(false), { code: 'rate-limited', retryAfter: 3_600_000 })
  t.mock.timers.tick(3_600_001)
  guess(false)
})
