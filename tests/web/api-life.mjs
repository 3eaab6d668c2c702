// Clients that come and go, as frameworks make them: what is closed is given up, and what is given up leaves nothing behind.

import { begin, equal, pair, theSite } from './embed.mjs'
import { check } from './harness.mjs'

export async function apiLifeChecks() {
  for (const [stage, call] of [
    ['before anything was asked', null],
    ['while its code is being redeemed', 'JoinPairing'],
    ['while its session is being opened', 'OpenSession'],
  ]) {
    await check(`embedded: a client that is closed ${stage} joins nothing, and the next one joins by the same code`, async (scope) => {
      const { a, b, server } = await two(scope)
      const code = await a.evaluate(async () => (await client.initPairing()).code)
      const held = call && hold(b, call)
      await b.evaluate(
        ([code, isClosedAtOnce]) => {
          globalThis.joining = client.pair(code).then(() => 'connected', (error) => `${error.code} ${error.reason}`)
          if (isClosedAtOnce) void client.close()
        },
        [code, !call],
      )
      await held?.reached
      equal(await b.evaluate(() => client.close().then(() => joining)), 'closed closed', 'the first call')
      await held?.go()
      await begin(b, server.url, {})
      await b.evaluate((code) => client.pair(code).then(() => client.connected()), code)
      await a.evaluate(() => client.connected())
      equal(await a.evaluate(() => client.phrase), await b.evaluate(() => client.phrase), 'the phrase')
    })
  }

  await check('embedded: a code that nobody uses is withdrawn when its client is closed, at whatever stage', async (scope) => {
    const { a, b } = await two(scope)
    const code = await a.evaluate(async () => {
      const { code } = await client.initPairing()
      await client.close()
      return code
    })
    equal(await b.evaluate((code) => client.pair(code).catch((error) => error.code), code), 'code-not-found', 'the code')
    const held = hold(a, 'CreatePairing')
    await a.evaluate(() => void (globalThis.making = client.initPairing().catch((error) => error.code)))
    await held.reached
    equal(await a.evaluate(() => client.close().then(() => making)), 'closed', 'the call')
    const withdrawn = a.waitForResponse('**/DeletePairing')
    await held.go()
    equal((await (await withdrawn).allHeaders())['content-type'], 'application/grpc-web+proto', 'the answer')
  })

  await check('embedded: the other side sees that a client is closed, and the same client can pair again at once', async (scope) => {
    const { a, b } = await pair(scope)
    await a.evaluate(() => void (globalThis.gone = new Promise((resolve) => client.on('closed', ({ reason }) => resolve(reason)))))
    const code = await b.evaluate(async () => {
      client.close()
      return (await client.initPairing()).code
    })
    equal(await a.evaluate(() => gone), 'peer-closed', 'the other side')
    await a.evaluate((code) => {
      client.pair(code)
      return client.connected()
    }, code)
  })

  await check('embedded: eight codes that wait in one browser hold no connection each', async (scope) => {
    const { a, b, server } = await two(scope)
    const codes = await a.evaluate(async (url) => {
      globalThis.clients = Array.from({ length: 8 }, () => new peersox.PeerSoxClient({ url, storage: null }))
      const made = []
      for (const it of clients) made.push((await it.initPairing()).code)
      await Promise.all(clients.map((it) => (it.status.server === 'connected' ? null : new Promise((done) => it.on('server.connected', done)))))
      return made
    }, server.url)
    equal(await a.evaluate((url) => fetch(url, { mode: 'no-cors' }).then(({ type }) => type), server.url), 'opaque', 'another request')
    await a.evaluate(() => void (globalThis.joined = new Promise((resolve) => clients[7].on('pairing.joined', () => resolve('joined')))))
    await b.evaluate((code) => client.pair(code).then(() => client.connected()), codes[7])
    equal(await a.evaluate(() => joined), 'joined', 'the last one')
  })

  await check('embedded: listeners that come and go take no message of others', async (scope) => {
    const { a, b } = await pair(scope, { a: { webrtc: 'off' } })
    await b.evaluate(() => {
      globalThis.got = []
      const other = () => got.push('a listener that is gone')
      client.on('string', other)
      client.addEventListener('binary', other)
      client.off('string', other)
      client.removeEventListener('binary', other)
      client.once('message', (text) => got.push(`once ${text}`))
    })
    await a.evaluate(async () => {
      for (const text of ['1', '2', '3']) await client.send(text)
      // Everything has arrived there when this has.
      await client.ping()
    })
    const reading = b.evaluate(async () => {
      for (let more = 2; more > 0; more--) got.push(`read ${await client.receive()}`)
      return got.join()
    })
    for (const text of ['4', '5']) await a.evaluate((text) => client.send(text), text)
    equal(await reading, 'once 1,read 2,read 3', 'messages')
  })

  await check('embedded: handlers may be set in any order, and a kind that nobody hears waits', async (scope) => {
    const { a, b } = await pair(scope, { a: { webrtc: 'off' } })
    await a.evaluate(async () => {
      for (const message of [Uint8Array.of(1), 'text', Uint8Array.of(2), 'more']) await client.send(message)
      // Everything has arrived there when this has.
      await client.ping()
    })
    const got = await b.evaluate(async () => {
      const got = []
      client.onString = (text) => got.push(text)
      await new Promise((resolve) => setTimeout(resolve))
      const texts = got.splice(0).join()
      client.onString = null
      client.onString = (text) => got.push(text)
      client.onBinary = (buffer) => got.push(new Uint8Array(buffer).join())
      await new Promise((resolve) => setTimeout(resolve))
      return `${texts} ${got.join()}`
    })
    equal(got, 'text,more 1,2', 'messages')
  })

  await check('embedded: sends that nobody awaits arrive in order up to a gap, which is told', async (scope) => {
    const { a, b } = await pair(scope)
    await b.evaluate(() => {
      globalThis.got = []
      client.on('message', (it) => got.push(typeof it === 'string' ? it : new Uint8Array(it)[0]))
    })
    const told = await a.evaluate(async () => {
      const told = []
      client.on('error', (error) => told.push(error.code ?? error.name))
      for (let at = 0; at < 100; at++) {
        const part = new Uint8Array(1 << 20).fill(at)
        client.send(part)
      }
      client.send('passes the gap')
      client.send({})
      // The first one that is taken again.
      while (client.bufferedAmount > 0) await client.ping()
      await client.send(new Blob(['blob']))
      await client.send(new File(['file'], 'name.txt'))
      await client.send('end')
      return told
    })
    await b.waitForFunction(() => got.at(-1) === 'end')
    const got = await b.evaluate(() => got)
    const count = got.length - 3
    if (count < 60 || count >= 100) throw new Error(`${count} arrived`)
    equal(got.join(), [...Array(count).keys(), 'b'.charCodeAt(0), 'f'.charCodeAt(0), 'end'].join(), 'messages')
    equal(told.join(), [...Array(101 - count).fill('too-large'), 'TypeError'].sort().reverse().join(), 'errors')
  })

  await check('embedded: a message that is too large is refused before anything is copied, and the next one arrives', async (scope) => {
    const { a, b } = await pair(scope, { a: { webrtc: 'off' } })
    await a.evaluate(() => client.on('error', () => {}))
    const refused = await a.evaluate(() => client.send(new ArrayBuffer(300e6)).then(() => 'sent', (error) => error.code))
    equal(refused, 'too-large', 'the send')
    const got = b.evaluate(() => client.receive())
    await a.evaluate(() => client.send('next'))
    equal(await got, 'next', 'the next message')
    const memory = await a.evaluate(() => memories[0].buffer.byteLength)
    if (memory > 50e6) throw new Error(`the module has ${memory} bytes`)
  })

  await check('embedded: a code that was tried connects nobody again, and a page gives three guesses', async (scope) => {
    const { a, b } = await two(scope)
    for (let guess = 0; guess < 3; guess++) {
      const code = await a.evaluate(async () => {
        globalThis.made = await client.initPairing()
        globalThis.over = new Promise((resolve) => client.once('closed', ({ reason }) => resolve(reason)))
        return made.code
      })
      const [digits, ...words] = code.split('-')
      const wrong = [digits, ...words.toReversed()].join('-')
      const guessed = wrong === code ? [digits, words[0], 'tulip'].join('-') : wrong
      const ended = await b.evaluate(async (code) => {
        const over = new Promise((resolve) => client.once('closed', ({ reason }) => resolve(reason)))
        await client.pair(code).catch(() => {})
        return over
      }, guessed)
      equal(ended, 'code-mismatch', 'the side that guessed')
      equal(await a.evaluate(() => over), 'code-mismatch', 'the side that showed the code')
      equal(await a.evaluate(() => client.connect(made).catch((error) => error.code)), 'pairing-invalid', 'the code once more')
    }
    equal(await a.evaluate(() => client.initPairing().catch((error) => `${error.code} ${error.retryAfter > 3_000_000}`)), 'rate-limited true', 'a fourth code')
    equal(await a.evaluate((code) => client.pair(code).catch((error) => error.code), '123456-tulip-ember'), 'code-not-found', 'typing a code')
  })
}

/** Two pages with a client each, and their server. */
async function two(scope) {
  const site = await theSite()
  const server = await scope.server(['--allow-origin', site])
  const [a, b] = [await scope.page(`${site}/pages/api.html`), await scope.page(`${site}/pages/api.html`)]
  for (const page of [a, b]) await begin(page, server.url, {})
  return { a, b, server }
}

/** Keeps the next call of a method from the server: `reached` when it is made, `go` lets it pass. */
function hold(page, method) {
  const pattern = `**/peersox.v1.PairingService/${method}`
  let go
  const held = new Promise((resolve) => (go = resolve))
  const reached = new Promise((resolve) => {
    void page.route(pattern, async (route) => {
      if (route.request().method() !== 'POST') return route.continue()
      resolve()
      await held
      await route.continue().catch(() => {})
    })
  })
  return {
    reached,
    go: async () => {
      go()
      await page.unroute(pattern)
    },
  }
}
