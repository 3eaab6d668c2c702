// A shell whose machine, sockets and connections are scripted: which call of the platform follows what the machine tells,
// and what the machine is told of what happens there.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cause, CAUSES, CHANNELS, CONNECTIONS, End, Told } from '#tables'
import { failure } from '../src/net/failure.js'
import { joined } from '../src/net/door.js'
import { Shell } from '../src/net/shell.js'

const SESSION = {
  ticket: 'T.I.C',
  epoch: 7,
  ticket_expires_at_millis: 1_700_000_000_000,
  endpoints: [
    { transport: 2, url: 'https://relay.example' },
    { transport: 1, url: 'wss://relay.example' },
  ],
  ice_servers: [
    { urls: ['stun:example.org'], username: '', credential: '' },
    { urls: ['turn:example.org'], username: '', credential: '' },
    { urls: ['turn:example.org'], username: '1700000060:me', credential: 'secret' },
  ],
}

/** Every input, and what is asked for frames. */
const INPUTS = ['sessionOpened', 'sessionFailed', 'legConnected', 'legEnded', 'waiting', 'described', 'accepted', 'candidate', 'changed', 'attemptFailed', 'wake', 'close', 'ring', 'takeLeg', 'takeDirect']

class ScriptedMachine {
  calls = []
  news = []
  frames = new Map()
  due = 1e300

  constructor(identity) {
    this.identity = identity
    for (const name of INPUTS) this[name] = (...args) => void this.calls.push([name, ...args])
  }

  poll = () => this.news.shift()
  transmitLeg = (leg) => this.frames.get(`leg ${leg}`)?.shift()
  transmitDirect = (attempt) => this.frames.get(`direct ${attempt}`)?.shift()
  timeout = () => this.due
  rtt = () => 12
  counts = () => ({ replayed: 0, duplicates: 0, dropped: 1 })
  whyRelayed = () => 'because'
}

class ScriptedSocket {
  static made = []
  sent = []
  readyState = 0
  bufferedAmount = 0

  constructor(url, protocol) {
    if (!url.startsWith('ws')) throw new SyntaxError('no URL')
    Object.assign(this, { url, protocol })
    ScriptedSocket.made.push(this)
  }
  send(frame) {
    this.sent.push([...frame])
  }
  close(code) {
    this.closed = [code]
  }
  open() {
    this.readyState = 1
    this.onopen()
  }
}

class ScriptedConnection {
  static made = []
  calls = []
  connectionState = 'new'

  constructor(configuration) {
    if (ScriptedConnection.refuses) throw new Error('no')
    this.configuration = configuration
    this.channels = []
    ScriptedConnection.made.push(this)
  }
  createDataChannel(label, init) {
    const channel = { label, init, readyState: 'connecting', bufferedAmount: 0, sent: [], send: (frame) => void channel.sent.push([...frame]) }
    this.channels.push(channel)
    return channel
  }
  setConfiguration(it) {
    this.calls.push(['setConfiguration', it.iceServers.length])
  }
  async #step(...call) {
    this.calls.push(call)
    if (this.fails) throw new Error('failed')
  }
  createOffer = async (options) => (await this.#step('createOffer', options), { type: 'offer', sdp: 'o' })
  createAnswer = async () => (await this.#step('createAnswer'), { type: 'answer', sdp: 'a' })
  setLocalDescription = (it) => this.#step('setLocalDescription', it.type)
  setRemoteDescription = (it) => this.#step('setRemoteDescription', it.type, it.sdp)
  addIceCandidate = (it) => this.#step('addIceCandidate', it)
  close = () => void this.calls.push(['close'])
}

/** What the machine told over all tests. */
const obeyed = new Set()

/** A shell at a scripted platform. */
function begun(t, options = {}) {
  const it = { told: [], opened: [], timers: [] }
  ScriptedSocket.made = []
  ScriptedConnection.made = []
  ScriptedConnection.refuses = false
  const before = [globalThis.WebSocket, globalThis.RTCPeerConnection]
  globalThis.WebSocket = ScriptedSocket
  globalThis.RTCPeerConnection = ScriptedConnection
  t.mock.method(globalThis, 'setTimeout', (act, millis) => it.timers.push({ act, millis }))
  t.mock.method(globalThis, 'clearTimeout', () => {})
  const listener = new Proxy({}, { get: (_, name) => (...args) => it.told.push([name, ...args]) })
  const Machine = class extends ScriptedMachine {
    constructor(identity) {
      super(identity)
      it.machine = this
    }
  }
  const open = (unreached, signal) =>
    new Promise((resolve, reject) => it.opened.push({ unreached, signal, resolve, reject }))
  const who = { id: new Uint8Array(16), initiator: true, secret: Uint8Array.of(1), webrtc: 'auto', maxMessage: 100, open }
  it.shell = new Shell({ Machine }, { ...who, ...options }, listener)
  it.tell = (told, a = 0, b = 0, c = 0, ...text) => {
    obeyed.add(told)
    const parts = text.map((it) => new TextEncoder().encode(it))
    it.machine.news.push({ told, a, b, c, bytes: parts.length > 1 ? joined(...parts) : (parts[0] ?? new Uint8Array()) })
    it.shell.with(() => {})
  }
  it.calls = () => it.machine.calls.splice(0)
  it.sockets = ScriptedSocket.made
  it.connections = ScriptedConnection.made
  /** What is due comes. */
  it.ring = () => it.timers.at(-1).act()
  /** A session is there, and leg 7 is connected. */
  it.attach = async () => {
    it.tell(Told.OpenSession, 1)
    it.opened.at(-1).resolve(SESSION)
    await turn()
    it.tell(Told.Connect, 7, 1)
    it.sockets.at(-1).open()
    it.calls()
    return it.sockets.at(-1)
  }
  t.after(() => {
    it.tell(Told.End, End.Closed)
    ;[globalThis.WebSocket, globalThis.RTCPeerConnection] = before
  })
  return it
}

/** Promises that are settled are heard. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

test('OpenSession reports what was answered, call by call', async (t) => {
  const { tell, opened, calls } = begun(t)
  tell(Told.OpenSession, 1)
  tell(Told.OpenSession, 2)
  opened[1].resolve(SESSION)
  await turn()
  // Of the transports 1, 2 and 3 Node speaks the first; the credentials live 60 s longer than the ticket.
  assert.deepEqual(calls(), [['sessionOpened', 2, 0b010, 60_000, 'T.I.C']])
  opened[0].resolve({ ...SESSION, ticket: 'late' })
  await turn()
  assert.deepEqual(calls(), [['sessionOpened', 1, 0b010, 60_000, 'late']])
  tell(Told.OpenSession, 3)
  tell(Told.OpenSession, 4, 1)
  // The epoch of the answer that came last goes with the report that its relay cannot be reached.
  assert.deepEqual(opened.map((it) => it.unreached), [0, 0, 0, SESSION.epoch])
  tell(Told.End, End.Closed)
  assert.equal(opened[2].signal.aborted, true)
})

test('OpenSession reports why it failed: for good or not, and what RetryInfo says', async (t) => {
  const { tell, opened, calls, told } = begun(t)
  for (const [error, ...expected] of [
    [failure('rate-limited', '', 7_000), false, 7_000],
    [failure('unreachable', 'gone'), false, -1],
    [failure('pairing-invalid', ''), true, -1],
    [failure('refused', ''), true, -1],
  ]) {
    tell(Told.OpenSession, 5)
    opened.at(-1).reject(error)
    await turn()
    assert.deepEqual(calls(), [['sessionFailed', 5, ...expected]])
    tell(Told.AttemptFailed, Cause.Control, -1, 9, 'the engine knows less')
    assert.deepEqual(told.at(-1), ['legLost', 'control', error.message, null, 9])
  }
  tell(Told.End, End.Refused, 0, -1, 'the engine knows less')
  assert.deepEqual(told.at(-1)[1].error.code, 'refused')
})

test('a session without TURN outlives nothing', async (t) => {
  const { tell, opened, calls } = begun(t)
  tell(Told.OpenSession, 1)
  opened[0].resolve({ ...SESSION, endpoints: [], ice_servers: SESSION.ice_servers.slice(0, 2) })
  await turn()
  assert.deepEqual(calls(), [['sessionOpened', 1, 0, -1, 'T.I.C']])
})

test('a leg is connected to the endpoint of its transport, and reports what happens to it', async (t) => {
  const it = begun(t)
  const socket = await it.attach()
  assert.deepEqual([socket.url, socket.protocol, socket.binaryType], ['wss://relay.example', 'peersox.v1', 'arraybuffer'])
  socket.onmessage({ data: Uint8Array.of(1, 2).buffer })
  socket.onmessage({ data: 'text' })
  socket.onclose({ code: 4002 })
  const [first, second, third] = it.calls()
  assert.deepEqual([first[1], [...first[2]]], [7, [1, 2]])
  assert.deepEqual([second[0], second[2].length], ['takeLeg', 0])
  assert.deepEqual(third, ['legEnded', 7, 4002])
  assert.equal(it.shell.stats().bytesReceived, 2)
})

test('that a leg is connected is told, and that it ended without a number', (t) => {
  const { tell, opened, sockets, calls } = begun(t)
  tell(Told.OpenSession, 1)
  opened[0].resolve(SESSION)
  return turn().then(() => {
    tell(Told.Connect, 3, 1)
    calls()
    sockets[0].open()
    sockets[0].onclose({ code: 1006 })
    assert.deepEqual(calls(), [['legConnected', 3], ['legEnded', 3, -1]])
  })
})

test('a leg whose address the browser refuses has ended, and what the browser said is told', async (t) => {
  const { tell, calls, told } = begun(t)
  tell(Told.Connect, 3, 1)
  await turn()
  assert.deepEqual(calls(), [['legEnded', 3, -1]])
  tell(Told.End, End.NoLeg, 0, Cause.Broken, 'the connection broke')
  const [, { error }] = told.at(-1)
  assert.deepEqual([error.code, error.transient], ['unreachable', true])
  assert.match(error.message, /no URL/)
})

test('a leg that the page may not open ends a client that never had one, at once', async (t) => {
  const { tell, told } = begun(t)
  globalThis.WebSocket = class {
    constructor() {
      throw new DOMException('the operation is insecure', 'SecurityError')
    }
  }
  tell(Told.Connect, 3, 1)
  await turn()
  const [name, { reason, error }] = told.at(-1)
  assert.deepEqual([name, reason, error.code, error.transient], ['ended', 'failed', 'unreachable', false])
  assert.match(error.message, /insecure/)
})

test('frames leave while a leg has room, and a crowded one is looked at again', async (t) => {
  const it = begun(t)
  const socket = await it.attach()
  it.machine.frames.set('leg 7', [Uint8Array.of(1, 1), Uint8Array.of(1, 2)])
  socket.bufferedAmount = 1 << 20
  it.shell.with(() => {})
  assert.deepEqual(socket.sent, [])
  // Rounded up to whole milliseconds, of a clock that goes on.
  const { millis } = it.timers.at(-1)
  assert.ok(millis === 8 || millis === 9, `${millis} ms`)
  it.ring()
  assert.deepEqual(it.calls(), [['waiting', 7, true], ['ring']])
  socket.bufferedAmount = 0
  it.ring()
  assert.deepEqual(it.calls(), [['waiting', 7, false], ['ring']])
  assert.deepEqual(socket.sent, [[1, 1], [1, 2]])
})

test('a leg that is hung up with a number says its last words first; one without is silent', async (t) => {
  const it = begun(t)
  const socket = await it.attach()
  socket.bufferedAmount = 1 << 20
  it.machine.frames.set('leg 7', [Uint8Array.of(1, 9)])
  it.tell(Told.HangUp, 7, 4000)
  assert.deepEqual([socket.sent, socket.closed, socket.onclose], [[[1, 9]], [4000], null])
  const other = await it.attach()
  it.machine.frames.set('leg 7', [Uint8Array.of(1, 9)])
  other.bufferedAmount = 1 << 20
  it.tell(Told.HangUp, 7, -1)
  assert.deepEqual([other.sent, other.closed], [[], [undefined]])
})

test('an offer is made step by step, with the servers that a browser takes', async (t) => {
  const it = begun(t)
  await it.attach()
  it.tell(Told.Make, 2 ** 53 - 1)
  it.tell(Told.Offer, 2 ** 53 - 1, 1)
  await turn()
  const [connection] = it.connections
  assert.deepEqual(connection.configuration.iceServers.map((it) => it.username), ['', '1700000060:me'])
  assert.deepEqual(connection.calls, [['setConfiguration', 2], ['createOffer', { iceRestart: true }], ['setLocalDescription', 'offer']])
  assert.deepEqual(it.calls(), [['described', 2 ** 53 - 1, 'offer', 'o']])
  assert.deepEqual(connection.channels.map((it) => [it.label, it.init.id, it.init.negotiated]), [['peersox.v1', 0, true], ['peersox.v1.datagrams', 1, true]])
})

test('an answer is made when the machine says so, and candidates go both ways', async (t) => {
  const it = begun(t)
  it.tell(Told.Make, 5)
  it.tell(Told.Accept, 5, 0, 0, 'offer', 'sdp of the other')
  await turn()
  assert.deepEqual(it.calls(), [['accepted', 5]])
  it.tell(Told.Answer, 5)
  it.tell(Told.Add, 5, 1, 0, 'candidate:1', 'mid', '')
  await turn()
  assert.deepEqual(it.calls(), [['described', 5, 'answer', 'a']])
  const [connection] = it.connections
  const added = ['addIceCandidate', { candidate: 'candidate:1', sdpMid: 'mid', sdpMLineIndex: 1 }]
  assert.deepEqual(connection.calls.find(([name]) => name === 'addIceCandidate'), added)
  connection.onicecandidate({ candidate: { candidate: 'candidate:2', sdpMLineIndex: 0, sdpMid: '0', usernameFragment: 'uf' } })
  connection.onicecandidate({ candidate: null })
  assert.deepEqual(it.calls(), [['candidate', 5, 0, 'candidate:2', '0', 'uf']])
})

test('a step that fails is told, unless the attempt was dropped', async (t) => {
  const it = begun(t)
  it.tell(Told.Make, 5)
  it.connections[0].fails = true
  it.tell(Told.Offer, 5)
  await turn()
  assert.deepEqual(it.calls(), [['attemptFailed', 5]])
  it.tell(Told.Offer, 5)
  it.tell(Told.Drop, 5)
  await turn()
  assert.deepEqual(it.calls(), [])
  assert.deepEqual(it.connections[0].calls.at(-1), ['close'])
  ScriptedConnection.refuses = true
  it.tell(Told.Make, 6)
  assert.deepEqual(it.calls(), [['attemptFailed', 6]])
})

test('the states of a connection and its channel are told by their numbers', (t) => {
  const it = begun(t)
  it.tell(Told.Make, 5)
  const [connection] = it.connections
  for (const [state, channel, ...expected] of [
    ['connecting', 'connecting', 'pending', 'pending'],
    ['connected', 'open', 'connected', 'open'],
    ['disconnected', 'open', 'pending', 'open'],
    ['failed', 'closing', 'failed', 'pending'],
    ['closed', 'closed', 'closed', 'closed'],
  ]) {
    connection.connectionState = state
    connection.channels[0].readyState = channel
    connection.onconnectionstatechange()
    const numbers = [CONNECTIONS.indexOf(expected[0]), CHANNELS.indexOf(expected[1])]
    assert.deepEqual(it.calls(), [['changed', 5, ...numbers]], state)
  }
})

test('frames of a direct path go by their lane, and a closed channel is told', (t) => {
  const it = begun(t)
  it.tell(Told.Make, 5)
  const [reliable, datagrams] = it.connections[0].channels
  reliable.readyState = datagrams.readyState = 'open'
  it.machine.frames.set('direct 5', [Uint8Array.of(1, 1), Uint8Array.of(2, 2)])
  it.shell.with(() => {})
  assert.deepEqual([reliable.sent, datagrams.sent], [[[1, 1]], [[2, 2]]])
  datagrams.onmessage({ data: Uint8Array.of(2, 3).buffer })
  assert.equal(it.calls()[0][0], 'takeDirect')
  reliable.send = () => {
    throw new Error('closed')
  }
  it.machine.frames.set('direct 5', [Uint8Array.of(1, 1)])
  reliable.onbufferedamountlow()
  assert.deepEqual(it.calls(), [['changed', 5, 0, CHANNELS.indexOf('closed')]])
})

test('a crowded direct path waits for its channel, not for a timer', (t) => {
  const it = begun(t)
  it.tell(Told.Make, 5)
  const [reliable] = it.connections[0].channels
  reliable.readyState = 'open'
  reliable.bufferedAmount = 256 << 10
  it.machine.frames.set('direct 5', [Uint8Array.of(1, 1)])
  it.shell.with(() => {})
  assert.deepEqual(reliable.sent, [])
  assert.notEqual(it.timers.at(-1).millis, 8)
  reliable.bufferedAmount = 0
  reliable.onbufferedamountlow()
  assert.deepEqual(reliable.sent, [[1, 1]])
})

test('the timer rings when the machine says, and never overflows', (t) => {
  const it = begun(t)
  assert.equal(it.timers.at(-1).millis, 2 ** 31 - 1)
  it.machine.due = performance.now() + 500
  it.shell.with(() => {})
  const { millis } = it.timers.at(-1)
  assert.ok(millis > 400 && millis <= 500, `${millis}`)
})

test('a device that slept is told of with the next ring, and how long', (t) => {
  const it = begun(t)
  const now = Date.now()
  t.mock.method(Date, 'now', () => now + 3_600_000)
  it.ring()
  const [[name, slept], ring] = it.calls()
  assert.equal(name, 'wake')
  assert.ok(Math.abs(slept - 3_600_000) < 1_000, `${slept}`)
  assert.deepEqual(ring, ['ring'])
  it.ring()
  assert.deepEqual(it.calls(), [['ring']])
})

test('a page that is back tells so, and no more once it is over', (t) => {
  const page = Object.assign(new EventTarget(), { visibilityState: 'visible' })
  globalThis.document = page
  t.after(() => delete globalThis.document)
  const it = begun(t)
  page.dispatchEvent(new Event('visibilitychange'))
  page.visibilityState = 'hidden'
  page.dispatchEvent(new Event('visibilitychange'))
  assert.deepEqual(it.calls(), [['wake', 0]])
  it.tell(Told.End, End.PeerClosed)
  page.visibilityState = 'visible'
  page.dispatchEvent(new Event('visibilitychange'))
  assert.deepEqual(it.calls(), [])
})

test('what happens is told, with its numbers', (t) => {
  const { tell, told, shell } = begun(t)
  tell(Told.Attached, 1, 1, 0)
  tell(Told.LegLost, Cause.HungUp, 4006, -1, 'idle')
  tell(Told.PeerOnline)
  tell(Told.CodeUsed)
  tell(Told.PeerAway, 30_000)
  tell(Told.Draining, 5_000)
  tell(Told.DatagramsDropped, 4)
  tell(Told.RelayRtt, 21)
  tell(Told.Secured, 0, 0, 0, 'three short words', 'Anna')
  tell(Told.Path, 1)
  tell(Told.Path, 2)
  tell(Told.DirectFailed, 5, 0, 0, 'no')
  tell(Told.Connected)
  tell(Told.Restarted, 3)
  tell(Told.Pong, 9)
  tell(Told.Opened, 5, 2, 0, 'files')
  for (const row of [Told.Readable, Told.Datagram, Told.Writable, Told.Finished, Told.Flushed]) tell(row, 5)
  tell(Told.Reset, 5, 1)
  assert.deepEqual(told, [
    ['attached', true],
    ['legLost', 'hung-up', 'idle', 4006, null],
    ['peerOnline'],
    ['codeUsed'],
    ['peerAway', 30_000],
    ['secured', 'three short words', 'Anna'],
    ['path', 1, null],
    ['path', 2, 12],
    ['dialFailed', 'no'],
    ['connected'],
    ['restarted', 3],
    ['pong', 9],
    ['channel', Told.Opened, 5, 2, 'files'],
    ...[Told.Readable, Told.Datagram, Told.Writable, Told.Finished, Told.Flushed].map((row) => ['channel', row, 5, 0, '']),
    ['channel', Told.Reset, 5, 1, ''],
  ])
  const { relayRtt, directRtt, datagramsDropped, whyRelayed } = shell.stats()
  assert.deepEqual({ relayRtt, directRtt, datagramsDropped, whyRelayed }, { relayRtt: 21, directRtt: 12, datagramsDropped: 5, whyRelayed: undefined })
})

test('every cause has a name', () => {
  assert.equal(new Set(CAUSES).size, Object.values(Cause).filter((it) => typeof it === 'number').length)
})

test('a machine that fails ends the shell and leaves nothing open', async (t) => {
  const it = begun(t)
  const socket = await it.attach()
  it.tell(Told.Make, 5)
  it.machine.takeLeg = () => {
    throw new WebAssembly.RuntimeError('unreachable')
  }
  socket.onmessage({ data: Uint8Array.of(1).buffer })
  const [[name, end]] = it.told.slice(-1)
  assert.deepEqual([name, end.reason, end.error.code], ['ended', 'failed', 'protocol'])
  assert.deepEqual([socket.closed, it.connections[0].calls.at(-1)], [[undefined], ['close']])
  socket.onmessage?.({ data: Uint8Array.of(1).buffer })
})

test('every row of told was obeyed here', () => {
  const rows = Object.entries(Told).filter(([, number]) => typeof number === 'number')
  assert.deepEqual(rows.filter(([, number]) => !obeyed.has(number)), [])
})
