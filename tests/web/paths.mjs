// The ways that messages take: what keeps them on the relay, what brings a direct path back.

import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { begin, equal, exchange, pair, takes, theSite } from './embed.mjs'
import { check, ownNetwork, until } from './harness.mjs'

export async function pathChecks() {
  await check('a client that permits TURN only, where there is none, stays on the relay', async (scope) => {
    const { a, b } = await pair(scope, { a: { iceTransportPolicy: 'relay' } })
    const failed = await a.evaluate(() => client.upgrade().catch((error) => error.code))
    equal(failed, 'upgrade-failed', 'what looking for a direct path came to')
    await exchange(a, b)
    await exchange(b, a)
    for (const page of [a, b]) equal((await page.evaluate(() => paths)).join(), 'relay', 'paths')
    const offered = await a.evaluate(() => connections.map((it) => it.localDescription?.sdp).join())
    if (/typ (host|srflx)/.test(offered)) throw new Error('an address of this device was told')
    // Between two attempts: the next one begins by itself.
    let why
    await until(async () => /reach|addresses/.test((why = await a.evaluate(() => client.stats().then((it) => it.whyRelayed)))))
    return why
  })

  await check('a TURN server makes a direct path for peers that permit nothing else', async (scope) => {
    if (!existsSync(TURN)) return { skip: 'coturn is not here' }
    if (!ownNetwork) return { skip: 'TURN servers carry nothing to lo' }
    const users = ['--lt-cred-mech', '--user', 'somebody:secret']
    const { url } = await turnServer(scope, users)
    const iceServers = [{ urls: url, username: 'somebody', credential: 'secret' }]
    const options = { iceTransportPolicy: 'relay', iceServers }
    await talkByTurn(await pair(scope, { a: options, b: options }))
  })

  await check('a TURN server that shares a secret with the server makes a direct path for its peers', async (scope) => {
    if (!existsSync(TURN)) return { skip: 'coturn is not here' }
    if (!ownNetwork) return { skip: 'TURN servers carry nothing to lo' }
    const { serve } = await sharedTurn(scope)
    const peers = await pair(scope, { a: TURN_ONLY, b: TURN_ONLY, serve })
    await talkByTurn(peers)
    for (const page of [peers.a, peers.b]) equal(page.requests.filter(isOpenSession).length, 1, 'sessions opened')
  })

  await check('ICE is restarted by TURN when the credentials of a page ran out', async (scope) => {
    if (!existsSync(TURN)) return { skip: 'coturn is not here' }
    if (!ownNetwork) return { skip: 'TURN servers carry nothing to lo' }
    const { serve, restart } = await sharedTurn(scope, 15)
    const { a, b } = await pair(scope, { a: TURN_ONLY, b: TURN_ONLY, serve })
    await talkByTurn({ a, b })
    const before = await Promise.all([a, b].map(credentials))
    for (const page of [a, b]) await page.waitForFunction((expiry) => Date.now() > (expiry + 1) * 1000, await expiryOf(page))
    // What it carried is gone: only a restart of ICE brings a path back, and only with other credentials.
    const began = performance.now()
    await restart()
    await Promise.all([a, b].map((page, at) => renewed(page, before[at])))
    await Promise.all([takes(a, 'webrtc', 2), takes(b, 'webrtc', 2)])
    const took = Math.round(performance.now() - began)
    await talkByTurn({ a, b })
    for (const page of [a, b]) {
      equal(await page.evaluate(() => connections.length), 1, 'connections')
      // One that attaches again is given servers without asking.
      equal(page.requests.filter((it) => it.startsWith('ws:')).length, 1, 'legs')
    }
    return `direct again after ${took} ms`
  })

  await check('a server that gives no other credentials costs no direct path', async (scope) => {
    if (!existsSync(TURN)) return { skip: 'coturn is not here' }
    if (!ownNetwork) return { skip: 'TURN servers carry nothing to lo' }
    // They live shorter than a ticket, so that a page asks whenever it needs them.
    const { serve } = await sharedTurn(scope, 200)
    const a = { ...TURN_ONLY, webrtc: 'manual' }
    const { a: page, b: other } = await pair(scope, { a, b: a, serve })
    const asked = [page, other].map((it, at) => new Promise((resolve) => it.route('**/OpenSession', (route) => {
      resolve()
      // The other call is left without an answer.
      if (at === 0) return route.abort()
    })))
    await page.evaluate(() => client.upgrade())
    await Promise.all(asked)
    await talkByTurn({ a: page, b: other })
  })

  await check('a TURN server that cannot be used costs no direct path', async (scope) => {
    // `peersox serve` names none without a password, which no browser takes; another server may.
    const openB = async (url) => {
      const page = await scope.page(url)
      await page.route('**/OpenSession', async (route) => {
        const response = await route.fetch()
        await route.fulfill({ response, body: withServer(await response.body(), 'turn:10.99.0.1:3478') })
      })
      return page
    }
    const { b } = await pair(scope, { openB })
    await b.evaluate(() => client.upgrade())
  })

  await check('a page learns its address from the server that it pairs at', async (scope) => {
    if (!ownNetwork) return { skip: 'browsers ask no STUN server from lo' }
    const { stun, a, b } = await pairAtHost(scope)
    await Promise.all([takes(a, 'webrtc'), takes(b, 'webrtc')])
    for (const page of [a, b]) {
      const { urls } = await page.evaluate(() => connections[0].getConfiguration().iceServers[0])
      equal(String(urls), stun, 'the only server')
    }
    const { candidates, errors } = await gather(a, stun)
    equal(errors.join(), '', 'errors')
    // Without STUN a page has nothing but a name that only its own network knows.
    equal(reflexive(candidates), HOST, 'the address that was learnt')
    // Where nobody answers, Firefox says so after 11 s; Chromium would after 40.
    const none = scope.noFirefox()
    if (none) return none
    const firefox = await scope.firefox(await theSite() + '/pages/api.html')
    const right = await gather(firefox, stun)
    equal(right.errors.join(), '', 'errors in Firefox')
    equal(reflexive(right.candidates), HOST, 'the address that Firefox learnt')
    const wrong = await gather(firefox, SILENT)
    equal(wrong.errors.join(), '701', 'errors where nobody answers')
    equal(reflexive(wrong.candidates), '', 'addresses that nobody told')
  })

  await check('a STUN server that does not answer costs no direct path, and no time', async (scope) => {
    if (!ownNetwork) return { skip: 'browsers ask no STUN server from lo' }
    const times = {}
    for (const [name, url] of [['with an answer', undefined], ['without', SILENT]]) {
      const { a, b, paired } = await pairAtHost(scope, url)
      await Promise.all([takes(a, 'webrtc'), takes(b, 'webrtc')])
      times[name] = Math.round(performance.now() - paired)
      if (!url) continue
      const { iceServers, sdp } = await a.evaluate(() => ({
        ...connections[0].getConfiguration(),
        sdp: connections[0].localDescription.sdp,
      }))
      equal(iceServers.map(({ urls }) => urls).join(), url, 'the only server')
      equal(/ typ srflx /.test(sdp), false, 'whether it answered')
    }
    // Firefox gives a server up after 11 s, Chromium after 40.
    if (times.without > 9_000) throw new Error(`direct after ${times.without} ms`)
    return Object.entries(times).map(([name, time]) => `${time} ms ${name}`).join(', ')
  })

  await check('a page that is online again restarts ICE on the connection that is there', async (scope) => {
    const { a, b } = await pair(scope)
    await Promise.all([takes(a, 'webrtc'), takes(b, 'webrtc')])
    const before = await Promise.all([a, b].map(credentials))
    for (const page of [a, b]) {
      await page.evaluate(() => {
        paths.length = 0
        dispatchEvent(new Event('online'))
      })
    }
    await Promise.all([a, b].map((page, at) => renewed(page, before[at])))
    await exchange(a, b)
    await exchange(b, a)
    for (const page of [a, b]) {
      equal((await page.evaluate(() => paths)).join(), '', 'other paths in between')
      equal(await page.evaluate(() => connections.length), 1, 'connections')
    }
  })

  await check('a direct path comes back by another address, on the same connection', comesBack, { alone: true })
}

async function comesBack(scope) {
  if (!ownNetwork) return { skip: 'the addresses of this machine are not to be changed' }
  // By STUN of a server on lo both pages learn an address of lo, which this does not take away.
  const { a, b } = await pair(scope, { serve: ['--no-stun'] })
  await Promise.all([takes(a, 'webrtc'), takes(b, 'webrtc')])
  const before = await Promise.all([a, b].map(credentials))
  const began = performance.now()
  move(HOST, '10.99.7.1')
  scope.defer(() => move('10.99.7.1', HOST))
  // Said while nobody knows yet that the path is gone.
  const arrived = b.evaluate(() => client.receive())
  await a.evaluate(() => void client.send('into the void'))
  equal(await arrived, 'into the void', 'what came')
  const late = Math.round(performance.now() - began)
  await Promise.all([a, b].map((page, at) => renewed(page, before[at])))
  await Promise.all([takes(a, 'webrtc'), takes(b, 'webrtc')])
  const took = Math.round(performance.now() - began)
  await exchange(a, b)
  await exchange(b, a)
  for (const page of [a, b]) equal(await page.evaluate(() => connections.length), 1, 'connections')
  // Whoever is told to restart may not have missed the other one yet.
  const told = await Promise.all([a, b].map((page) => page.evaluate(() => paths.join())))
  if (!told.some((it) => it.endsWith('webrtc,relay,webrtc'))) throw new Error(`paths: ${told.join(' and ')}`)
  return `heard by the relay after ${late} ms, direct again after ${took} ms`
}

const TURN = '/usr/bin/turnserver'
const TURN_ONLY = { iceTransportPolicy: 'relay' }
const HOST = '10.99.0.1'

/** A port where nobody listens. */
const SILENT = `stun:${HOST}:9999`

/** Two pages that paired at a server of this network, which tells them of itself, or of another STUN server. */
async function pairAtHost(scope, other) {
  const site = await theSite()
  const serve = other ? ['--ice-server', other] : []
  const server = await scope.server(['--allow-origin', site, ...serve], `${HOST}:0`)
  const [a, b] = [await scope.page(`${site}/pages/api.html`), await scope.page(`${site}/pages/api.html`)]
  await begin(a, server.url, {})
  const code = await a.evaluate(async () => (await client.initPairing()).code)
  await begin(b, server.url, {})
  const paired = performance.now()
  await b.evaluate(async (code) => void (await client.pair(code)), code)
  return { stun: server.url.replace(/^http:../, 'stun:'), a, b, paired }
}

/** What ICE gathers with one server, until it is done. Both drivers of browsers know how. */
const gather = (page, url) =>
  page.evaluate(
    (urls) =>
      new Promise((resolve) => {
        // Kept alive by the page: nothing else holds it while it waits.
        const connection = (globalThis.gathering = new RTCPeerConnection({ iceServers: [{ urls }] }))
        const candidates = []
        const errors = []
        connection.onicecandidateerror = ({ errorCode }) => errors.push(errorCode)
        connection.onicecandidate = ({ candidate }) => {
          if (candidate) return candidates.push(candidate.candidate)
          connection.close()
          resolve({ candidates, errors })
        }
        connection.createDataChannel('')
        connection.setLocalDescription()
      }),
    url,
  )

/** The addresses that a server told. */
const reflexive = (candidates) => candidates.filter((it) => / typ srflx /.test(it)).map((it) => it.split(' ')[4]).join()

/** Exchanges messages over nothing but TURN. */
async function talkByTurn({ a, b }) {
  await Promise.all([takes(a, 'webrtc'), takes(b, 'webrtc')])
  await exchange(a, b)
  await exchange(b, a)
  for (const page of [a, b]) {
    const { webrtc } = await page.evaluate(() => client.stats())
    equal(`${webrtc.localCandidate} ${webrtc.remoteCandidate}`, 'relay relay', 'candidates')
  }
}

/** An OpenSessionResponse in gRPC-Web, with another entry of `ice_servers`: field 5, whose field 1 is `url`. */
function withServer(reply, url) {
  const length = reply.readUInt32BE(1)
  const entry = Buffer.from([0x2a, url.length + 2, 0x0a, url.length, ...Buffer.from(url)])
  const head = Buffer.from([0, 0, 0, 0, 0])
  head.writeUInt32BE(length + entry.length, 1)
  return Buffer.concat([head, reply.subarray(5, 5 + length), entry, reply.subarray(5 + length)])
}

/** A TURN server that shares a secret with `peersox serve`, and what to start that with. */
async function sharedTurn(scope, lifetime) {
  const users = ['--use-auth-secret', '--static-auth-secret', 'north of the sea']
  let turn = await turnServer(scope, users)
  const secret = join(scope.directory(), 'secret')
  writeFileSync(secret, 'north of the sea\n', { mode: 0o600 })
  const lasting = lifetime ? ['--turn-lifetime', lifetime] : []
  return {
    serve: ['--ice-server', turn.url, '--turn-secret-file', secret, ...lasting],
    /** Another process in its place, which knows nothing of what the first one carried. */
    restart: async () => {
      await turn.child.stop('SIGKILL')
      turn = await turnServer(scope, users)
    },
  }
}

/** A TURN server on this network, with options that say for whom. */
async function turnServer(scope, users) {
  const directory = scope.directory()
  const child = scope.spawn(
    'turn',
    [
      ...['-n', '--log-file', 'stdout', '--pidfile', join(directory, 'pid'), '--userdb', join(directory, 'users')],
      ...['--listening-ip', HOST, '--relay-ip', HOST, '--listening-port', '3478', '--no-cli', '--no-tls', '--no-dtls'],
      ...['--realm', 'peersox.example', ...users],
    ],
    { program: TURN },
  )
  // It does not say when it is ready, but listens on TCP as well.
  const answers = () =>
    new Promise((resolve) => {
      const socket = connect(3478, HOST, () => resolve(true)).on('error', () => resolve(false))
      scope.defer(() => socket.destroy())
    })
  while (!(await answers()));
  return { url: `turn:${HOST}:3478?transport=udp`, child }
}

/** Takes an address from this network and gives it another, as a device that changes networks. */
function move(from, to) {
  const ip = (...args) => execFileSync('ip', args)
  ip('addr', 'add', `${to}/24`, 'dev', 'v0')
  ip('addr', 'del', `${from}/24`, 'dev', 'v0')
  ip('route', 'replace', 'default', 'via', to, 'dev', 'v0')
}

const isOpenSession = (url) => url.endsWith('/OpenSession')

/** When the credentials that a page gave its only connection run out, in seconds. */
const expiryOf = (page) => page.evaluate(() => parseInt(connections[0].getConfiguration().iceServers[0].username))

/** What ICE uses for the only connection of a page; another one after each restart. */
const credentials = (page) => page.evaluate(() => connections[0].localDescription.sdp.match(/^a=ice-ufrag:.*/m)[0])

/** Resolves when ICE was restarted. */
const renewed = (page, before) =>
  page.waitForFunction(
    (before) => connections[0].signalingState === 'stable' && !connections[0].localDescription.sdp.includes(before),
    before,
  )
