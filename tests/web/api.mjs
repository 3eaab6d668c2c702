// The package as an embedder uses it, from an origin of its own.

import { equal, exchange, pair, takes, theSite } from './embed.mjs'
import { check } from './harness.mjs'

export async function apiChecks() {
  await check('two pages pair by a code and reach each other directly', async (scope) => {
    const { a, b, paired, ready } = await pair(scope)
    await Promise.all([takes(a, 'webrtc'), takes(b, 'webrtc')])
    const took = Math.round(performance.now() - paired)
    const [one, other] = await Promise.all([a, b].map((it) => it.evaluate(() => client.phrase)))
    equal(one, other, 'the phrase')
    const stats = await a.evaluate(() => client.stats())
    equal(stats.path, 'webrtc', 'the path in the statistics')
    if (stats.webrtc?.localCandidate === null) throw new Error('no candidate is named')
    return `client ready ${ready} ms after navigation, webrtc ${took} ms after the code, round trip ${stats.rtt?.toFixed(1)} ms`
  })

  await check('text, buffers and views arrive as they were sent', async (scope) => {
    const { a, b } = await pair(scope)
    await exchange(a, b)
    await exchange(b, a)
  })

  await check('what a listener sends leaves when it returns', async (scope) => {
    const { a, b } = await pair(scope, { a: { webrtc: 'off' } })
    await b.evaluate(() => void (client.onString = (text) => client.send(text)))
    // Left for the next thing that happens, each would wait for a Ping of the leg.
    await a.evaluate(async () => {
      let more = 100
      await new Promise((resolve) => {
        client.onString = () => (--more > 0 ? client.send('again') : resolve())
        client.send('again')
      })
    })
  })

  await check('100 MB arrive whole', async (scope) => {
    const { a, b } = await pair(scope)
    await takes(a, 'webrtc')
    const took = await hundredMegabytes(a, b)
    const bare = await bareDataChannel(a, b)
    const rate = (seconds) => `${(100 / seconds).toFixed(1)} MB/s`
    return `${rate(took)} over ${await a.evaluate(() => client.status.path)}, a bare data channel ${rate(bare)}`
  })

  await check('of 100,000 messages none is lost, doubled or reordered when WebRTC is closed under load', async (scope) => {
    const { a, b } = await pair(scope)
    await Promise.all([takes(a, 'webrtc'), takes(b, 'webrtc')])
    await b.evaluate(() => {
      globalThis.expected = 0
      globalThis.wrong = []
      const take = (number) => {
        if (number !== expected && wrong.length < 5) wrong.push(`${number} instead of ${expected}`)
        expected = number + 1
      }
      client.onString = (text) => take(Number(text))
      client.onBinary = (buffer) => take(new DataView(buffer).getUint32(0))
    })
    await a.evaluate(() => {
      globalThis.sendUpTo = async (end) => {
        globalThis.next ??= 0
        for (; next < end; next++) {
          if (next % 2) await client.send(String(next))
          else {
            const view = new DataView(new ArrayBuffer(64))
            view.setUint32(0, next)
            await client.send(view)
          }
        }
      }
    })
    const sending = a.evaluate(() => sendUpTo(80_000))
    await b.waitForFunction(() => expected > 20_000)
    const open = await a.evaluate(() => {
      const open = connections.filter((it) => it.connectionState === 'connected')
      for (const it of open) it.close()
      return open.length
    })
    equal(open, 1, 'open connections')
    await sending
    await Promise.all([takes(a, 'webrtc', 2), takes(b, 'webrtc', 2)])
    await a.evaluate(() => sendUpTo(100_000))
    await b.waitForFunction(() => expected === 100_000 || wrong.length > 0)
    equal((await b.evaluate(() => wrong)).join('; '), '', 'wrong messages')
    const fellBack = await a.evaluate(() => paths.slice(paths.indexOf('webrtc')).includes('relay'))
    if (!fellBack) throw new Error('the relay was not used in between')
    const { replayed } = await a.evaluate(() => client.stats())
    return `paths ${(await a.evaluate(() => paths)).join(' ')}, ${replayed} sent again`
  })

  await check('a client that stays on the relay does', async (scope) => {
    const { a, b } = await pair(scope, { a: { webrtc: 'off' } })
    await exchange(a, b)
    await exchange(b, a)
    for (const page of [a, b]) equal((await page.evaluate(() => paths)).join(), 'relay', 'paths')
    equal(await a.evaluate(() => connections.length), 0, 'connections')
    const { whyRelayed } = await a.evaluate(() => client.stats())
    if (!whyRelayed) throw new Error('nobody says why messages are relayed')
    return whyRelayed
  })

  for (const [entry, parts] of [
    ['peersox', '/npm/peersox-transfer.js'],
    ['slim', '/npm/slim-transfer.js /npm/peersox-transfer.wasm'],
  ]) {
    await check(`what transfers files is loaded once it is needed, with ${entry}`, async (scope) => {
      const { a, b } = await pair(scope, { entry })
      await exchange(a, b)
      await exchange(b, a)
      const loaded = (page) => page.requests.flatMap((it) => (it.includes('transfer') ? [new URL(it).pathname] : [])).join(' ')
      for (const page of [a, b]) equal(loaded(page), '', 'requests of pages that only talk')
      await takeFiles(b)
      const [one, other] = await a.evaluate(() => Promise.all([sendFile('one.txt', 'one'), sendFile('dir/other.txt', 'other')]))
      equal([one, other].join(), 'done,done', 'ends')
      await b.waitForFunction(() => files.length === 2)
      equal((await b.evaluate(() => files.sort())).join(), 'dir/other.txt: other,one.txt: one', 'files')
      for (const page of [a, b]) equal(loaded(page), parts, 'requests')
    })
  }

  await check('files that cannot be transferred are refused on either side, and can be later', async (scope) => {
    const { a, b } = await pair(scope, { entry: 'slim' })
    await Promise.all([a, b].map((it) => takeFiles(it)))
    const send = (page) => page.evaluate(() => sendFile('one.txt', 'one'))
    for (const part of ['**/slim-transfer.js', '**/peersox-transfer.wasm']) {
      await b.route(part, (route) => route.abort())
      equal(await send(a), 'transfer-declined', `end of files to a page without ${part}`)
      equal(await b.evaluate(() => errors.splice(0).join()), 'unsupported', 'errors there')
      equal(await send(b), 'unsupported', 'end of files from it')
      await b.unroute(part)
    }
    equal(await send(a), 'done', 'end of files when everything is there')
    equal(await send(b), 'done', 'end of files the other way')
  })

  await check('Chromium and Firefox', async (scope) => {
    const skip = scope.noFirefox()
    if (skip) return { skip }
    const { a, b, paired } = await pair(scope, { openB: (url) => scope.firefox(url) })
    await takes(a, 'webrtc')
    const took = Math.round(performance.now() - paired)
    await exchange(a, b)
    await exchange(b, a)
    return `webrtc after ${took} ms`
  })

  await check('who reads messages is told of their end', async (scope) => {
    const { a, b } = await pair(scope)
    const reading = b.evaluate(async () => {
      const texts = []
      const read = async () => {
        for await (const text of client) texts.push(text)
        return texts.join()
      }
      // What comes of the end by promises comes before a timer.
      const closed = new Promise((resolve) => client.on('closed', () => setTimeout(resolve)))
      return Promise.race([read(), closed.then(() => `${texts.join()}, and no end`)])
    })
    await a.evaluate(async () => {
      for (const text of ['one', 'two']) await client.send(text)
      await client.close()
    })
    equal(await reading, 'one,two', 'messages')
  })

  await check('a page written for PeerSox works with another import', async (scope) => {
    const site = await theSite()
    const server = await scope.server(['--allow-origin', site])
    const seed = `${site}/pages/seed.html?server=${encodeURIComponent(server.url)}`
    const initiator = await scope.page(seed)
    const code = await (await initiator.waitForFunction(() => globalThis.code)).jsonValue()
    const joiner = await scope.page(`${seed}&code=${code}`)
    for (const page of [initiator, joiner]) {
      await page.waitForFunction(() => received.length === 2)
      equal((await page.evaluate(() => received)).join(' '), '1,2,3 1;2;3', 'messages')
    }
  })
}

/** Makes a page take what is offered, and able to offer. */
function takeFiles(page) {
  return page.evaluate(() => {
    globalThis.files = []
    globalThis.errors = []
    client.on('error', ({ code }) => errors.push(code))
    client.on('transfer', async (transfer) => {
      const sink = peersox.memorySink()
      await transfer.accept(sink)
      for (const { entry, blob } of sink.files) files.push(`${entry.path.join('/')}: ${await blob.text()}`)
    })
  })
}

/** Seconds for 100 messages of a megabyte each. */
async function hundredMegabytes(from, to) {
  await to.evaluate(() => {
    globalThis.sums = []
    client.onBinary = (buffer) => {
      let sum = buffer.byteLength
      for (const word of new Uint32Array(buffer)) sum = (sum + word) | 0
      sums.push(sum)
    }
  })
  const began = performance.now()
  const sent = await from.evaluate(async () => {
    const sums = []
    for (let round = 0; round < 100; round++) {
      const words = new Uint32Array(250_000)
      let state = round + 1
      let sum = words.byteLength
      for (let at = 0; at < words.length; at++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
        words[at] = state
        sum = (sum + state) | 0
      }
      sums.push(sum)
      await client.send(words)
    }
    return sums
  })
  await to.waitForFunction(() => sums.length === 100)
  const took = (performance.now() - began) / 1000
  equal((await to.evaluate(() => sums)).join(), sent.join(), 'sums')
  return took
}

/** Seconds for 100 MB over a data channel without anything of ours, between the same pages. */
async function bareDataChannel(from, to) {
  const gathered = (page, remote) =>
    page.evaluate(async (remote) => {
      globalThis.bare ??= new RTCPeerConnection()
      if (remote) await bare.setRemoteDescription(remote)
      else globalThis.lane = bare.createDataChannel('bare')
      await bare.setLocalDescription()
      if (bare.iceGatheringState !== 'complete') {
        await new Promise((resolve) => bare.addEventListener('icegatheringstatechange', () => bare.iceGatheringState === 'complete' && resolve()))
      }
      return { type: bare.localDescription.type, sdp: bare.localDescription.sdp }
    }, remote)
  const offer = await gathered(from)
  await to.evaluate(() => {
    globalThis.bare = new RTCPeerConnection()
    globalThis.count = 0
    bare.ondatachannel = ({ channel }) => (channel.onmessage = ({ data }) => (count += data.byteLength ?? data.size))
  })
  const answer = await gathered(to, offer)
  await from.evaluate(async (answer) => {
    await bare.setRemoteDescription(answer)
    if (lane.readyState !== 'open') await new Promise((resolve) => (lane.onopen = resolve))
  }, answer)
  const began = performance.now()
  await from.evaluate(async () => {
    const piece = new Uint8Array(64_000)
    lane.bufferedAmountLowThreshold = 1 << 20
    for (let sent = 0; sent < 100_000_000; sent += piece.length) {
      if (lane.bufferedAmount > 4 << 20) await new Promise((resolve) => (lane.onbufferedamountlow = resolve))
      lane.send(piece)
    }
  })
  await to.waitForFunction(() => count >= 100_000_000)
  return (performance.now() - began) / 1000
}
