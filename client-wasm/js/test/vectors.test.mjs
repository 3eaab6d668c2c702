// The built engine does what tests/vectors/endpoint.json says: the same calls give the same actions and frames as in core.

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { CAUSES, CHANNELS, CONNECTIONS, End, ENDS, MODES, Told } from '#tables'
import { setClock, texts } from '../src/net/door.js'
import { Machine } from '../src/net/machine.js'
import { real, skip } from './real.mjs'

const why = skip || (existsSync(VECTORS) ? false : 'tests/vectors/endpoint.json is not here')
const { vectors } = why ? { vectors: [] } : JSON.parse(readFileSync(VECTORS, 'utf8'), exact)

/** Numbers above 2^53 are texts in the file; the others are exact. */
function exact(_, value) {
  assert.ok(typeof value !== 'number' || Number.isSafeInteger(value), `${value} is not exact`)
  return value
}

test('there are vectors', { skip: why }, () => assert.ok(vectors.length > 0))

for (const { seed, endpoint, steps } of vectors) {
  test(`a shell of the world of seed ${seed}`, { skip: why }, async (t) => {
    await real()
    const dice = new Dice(BigInt(endpoint.rng))
    t.mock.method(crypto, 'getRandomValues', (bytes) => dice.fill(bytes))
    let now = 0
    setClock(() => now / 1e3)
    t.after(() => setClock(() => performance.now()))
    const machine = made(endpoint)
    for (const [at, [micros, call, expected]] of steps.entries()) {
      now = micros
      const got = call === 'poll' ? expected.map(([what]) => [what, polled(machine, what)]) : done(machine, call)
      assert.deepEqual(got, ALIKE[expected] ?? expected, `step ${at}: ${JSON.stringify(call)}`)
    }
  })
}

/** SplitMix64, as the head of the file says. */
class Dice {
  constructor(seed) {
    this.state = seed
  }
  roll() {
    this.state = BigInt.asUintN(64, this.state + 0x9e3779b97f4a7c15n)
    let mixed = this.state
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n)
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn)
    return mixed ^ (mixed >> 31n)
  }
  fill(bytes) {
    for (let at = 0; at < bytes.length; at += 8) {
      const eight = new Uint8Array(8)
      new DataView(eight.buffer).setBigUint64(0, this.roll(), true)
      bytes.set(eight.subarray(0, bytes.length - at), at)
    }
    return bytes
  }
}

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const bytes = (text) => Uint8Array.from(Buffer.from(text, 'hex'))
const millis = (micros) => (micros == null ? -1 : micros / 1e3)
const micros = (millis) => (millis < 0 ? null : Math.round(millis * 1e3))
const orNull = (number) => (number < 0 ? null : number)
const bits = (transports) => transports.reduce((sum, it) => sum | (1 << it), 0)

function made(it) {
  const rules = Uint32Array.of(bits(it.transports), it.window, it.total, it['max-channels'], it['upgrade-after'] / 1e6)
  return new Machine({
    id: bytes(it.pairing),
    initiator: it.role === 'initiator',
    secret: it.secret ? bytes(it.secret) : undefined,
    code: it.code ?? undefined,
    name: Buffer.from(it.hello, 'hex').toString(),
    agent: it.agent,
    mode: MODES.indexOf(it.direct),
    patience: millis(it.patience),
    rules: new Uint8Array(rules.buffer),
  })
}

/** An action, or the next frame of a way. */
function polled(machine, what) {
  if (what === 'action') {
    const news = machine.poll()
    return news ? action({ ...news, bytes: news.bytes.slice() }) : null
  }
  const frame = 'leg' in what ? machine.transmitLeg(what.leg) : machine.transmitDirect(what.attempt)
  return frame ? hex(frame) : null
}

/** What a call gives. */
function done(machine, call) {
  if (call === 'poll-timeout') {
    const at = machine.timeout()
    return at > 1e13 ? null : Math.round(at * 1e3)
  }
  const { channel, attempt, leg } = call
  const give = {
    frame: () => ('leg' in call.way ? machine.takeLeg(call.way.leg, bytes(call.bytes)) : machine.takeDirect(call.way.attempt, bytes(call.bytes))),
    upgrade: () => machine.upgrade(),
    open: () => tried(() => machine.open(call.name, call.priority), () => null),
    send: () => tried(() => sent(machine.send(channel, call.text, bytes(call.bytes))), faulty),
    'send-datagram': () => tried(() => sent(machine.sendDatagram(channel, bytes(call.bytes))), faulty),
    finish: () => machine.finish(channel),
    reset: () => machine.reset(channel, call.code),
    ping: () => machine.ping(),
    read: () => piece(machine.read(channel)),
    'read-datagram': () => {
      const datagram = machine.readDatagram(channel)
      return datagram ? hex(datagram) : null
    },
    'session-opened': () => machine.sessionOpened(call.call, bits(call.offered), millis(call.outlives), call.ticket),
    'session-failed': () => machine.sessionFailed(call.call, call['is-final'], millis(call['retry-after'])),
    'leg-connected': () => machine.legConnected(leg),
    'leg-ended': () => machine.legEnded(leg, call.number ?? -1),
    waiting: () => machine.waiting(leg, call.waits),
    described: () => machine.described(attempt, call.type, call.sdp),
    accepted: () => machine.accepted(attempt),
    candidate: () => machine.candidate(attempt, 0, call.candidate, '', ''),
    changed: () => machine.changed(attempt, CONNECTIONS.indexOf(call.connection), CHANNELS.indexOf(call.channel)),
    failed: () => machine.attemptFailed(attempt),
    wake: () => machine.wake(millis(call.slept)),
    close: () => machine.close(millis(call.patience)),
    timeout: () => machine.ring(),
  }[call.do]
  assert.ok(give, `${call.do} is a call`)
  return give() ?? null
}

/** What a call throws is a result, too. */
function tried(act, failed) {
  try {
    return act()
  } catch (error) {
    return failed(error)
  }
}

/** Reasons that the engine does not tell apart, because a shell does the same about them. */
const ALIKE = { 'no-path': 'full', 'kind-changed': 'finished' }
const NOT_SENT = { 'channel-reset': 'gone', closed: 'finished', 'too-large': 'too-large' }
const sent = (wasSent) => (wasSent ? null : 'full')
const faulty = ({ code }) => NOT_SENT[code] ?? code

function piece(it) {
  return it ? { text: (it.kind & 1) > 0, last: it.kind > 1, bytes: hex(it.bytes) } : null
}

/** What a machine told, in the words of the file. */
function action(news) {
  const { told, a, b, bytes } = news
  switch (told) {
    case Told.OpenSession:
      return { do: 'open-session', call: a, unreached: b > 0 }
    case Told.Connect:
      return { do: 'connect', leg: a, transport: b }
    case Told.HangUp:
      return { do: 'hang-up', leg: a, number: orNull(b) }
    case Told.Make:
      return { do: 'make', attempt: a }
    case Told.Offer:
      return { do: 'offer', attempt: a, restart: b > 0 }
    case Told.Accept: {
      const [type, sdp] = texts(bytes)
      return { do: 'accept', attempt: a, type, sdp }
    }
    case Told.Answer:
      return { do: 'answer', attempt: a }
    case Told.Add:
      return { do: 'add', attempt: a, candidate: texts(bytes)[0] }
    case Told.Drop:
      return { do: 'drop', attempt: a }
    case Told.End:
      return { do: 'end', end: ended(news) }
    default:
      return { do: 'tell', event: event(news) }
  }
}

function event({ told, a, b, c, bytes }) {
  const text = new TextDecoder().decode(bytes)
  switch (told) {
    case Told.Attached:
      return { name: 'attached', transport: a, resumed: b > 0, 'peer-online': c > 0 }
    case Told.LegLost:
      return { name: 'leg-lost', cause: cause(a, b), 'retry-in': micros(c) }
    case Told.AttemptFailed:
      return { name: 'attempt-failed', cause: cause(a, b), 'retry-in': micros(c) }
    case Told.PeerOnline:
      return { name: 'peer-online' }
    case Told.CodeUsed:
      return { name: 'code-used' }
    case Told.PeerAway:
      return { name: 'peer-away', grace: micros(a) }
    case Told.Draining:
      return { name: 'draining', grace: micros(a) }
    case Told.DatagramsDropped:
      return { name: 'datagrams-dropped', count: a }
    case Told.RelayRtt:
      return { name: 'relay-rtt', rtt: micros(a) }
    case Told.Secured: {
      const [phrase, name] = texts(bytes)
      return { name: 'secured', sas: phrase.replaceAll(' ', '-'), hello: hex(Buffer.from(name)) }
    }
    case Told.Path:
      return { name: 'path', kind: [null, 'relay', 'direct'][a] }
    case Told.DirectFailed:
      return { name: 'direct-failed', why: a }
    case Told.Connected:
      return { name: 'connected' }
    case Told.Restarted:
      return { name: 'peer-restarted' }
    case Told.Pong:
      return { name: 'pong', rtt: micros(a) }
    case Told.Opened:
      return { name: 'opened', channel: a, label: text, priority: b }
    case Told.Readable:
      return { name: 'readable', channel: a }
    case Told.Datagram:
      return { name: 'datagram-readable', channel: a }
    case Told.Writable:
      return { name: 'writable', channel: a }
    case Told.Finished:
      return { name: 'finished', channel: a }
    case Told.Flushed:
      return { name: 'flushed', channel: a }
    case Told.Reset:
      return { name: 'reset', channel: a, code: b }
  }
}

/** `peer-lost` is a row of its own here: the number says as much. */
function cause(row, number) {
  const name = CAUSES[row] === 'peer-lost' ? 'hung-up' : CAUSES[row]
  return { name, number: orNull(number) }
}

function ended({ a, b, c, bytes }) {
  const text = new TextDecoder().decode(bytes)
  if (c >= FIRST_CLOSE) return { name: 'hung-up', number: c }
  switch (a) {
    case End.Closed:
      return { name: 'closed', flushed: b > 0 }
    case End.PeerClosed:
      return { name: 'peer-closed' }
    case End.Refused:
      return { name: 'refused' }
    case End.NoLeg:
      return { name: 'no-leg', cause: { name: CAUSES[c], number: null } }
    default:
      assert.ok(ENDS[a])
      return { name: 'peer', text }
  }
}

/** Close numbers are above every row of the table of causes. */
const FIRST_CLOSE = 1_000
