// A program in Rust in a page, client/examples/web-chat.rs: with the command line, the npm package and itself.

import { connect, createServer } from 'node:net'
import { begin, equal, takes, theSite } from './embed.mjs'
import { check } from './harness.mjs'

export async function rustChecks() {
  await check('rust: a page talks with peersox connect', async (scope) => {
    const { url } = await serve(scope)
    const showing = scope.spawn('showing', ['connect', '--json', '--server', url])
    const page = await chat(scope, url)
    await take(page, await scope.code(showing))
    showing.stdin.write('from the terminal\n')
    await heard(page, ['from the terminal\n'])
    await say(page, ['from the page', 'grün 👋🏽'])
    await showing.wrote('from the page\ngrün 👋🏽\n')
    showing.stdin.end('over\n')
    await heard(page, ['from the terminal\n', 'over\n'])
  })

  for (const [path, webrtc, kind] of [['WebRTC', 'auto', 'direct'], ['the relay', 'off', 'relay']]) {
    await check(`rust: a page talks with a page of the npm package over ${path}, whoever shows the code`, async (scope) => {
      const { url } = await serve(scope)
      for (const shows of ['rust', 'npm']) {
        const rust = await chat(scope, url)
        const npm = await scope.page(`${await theSite()}/pages/api.html`)
        await begin(npm, url, { webrtc })
        if (shows === 'rust') {
          await npm.evaluate(async (code) => void (await client.pair(code)), await show(rust))
        } else {
          await take(rust, await npm.evaluate(async () => (await client.initPairing()).code))
        }
        await Promise.all([reaches(rust, kind), takes(npm, webrtc === 'off' ? 'relay' : 'webrtc')])
        await npm.evaluate(() => {
          globalThis.got = []
          client.onString = (text) => got.push(text)
        })
        await say(rust, lines(0, 50))
        await npm.waitForFunction(() => got.length === 50)
        equal((await npm.evaluate(() => got)).join(), lines(0, 50).join(), 'what the package heard')
        await npm.evaluate((lines) => lines.forEach((it) => client.send(it)), lines(0, 50))
        await heard(rust, lines(0, 50))
      }
    })
  }

  await check('rust: two pages on the relay lose nothing when their legs are cut', async (scope) => {
    const { url } = await serve(scope)
    const way = await cuttable(scope, url)
    const [a, b] = await meet(scope, way.url, 'off')
    const both = (from, to) => Promise.all([a, b].map((page) => say(page, lines(from, to))))
    await both(0, 100)
    for (let from = 100; from < 700; from += 200) {
      await Promise.all([both(from, from + 200), way.cut()])
    }
    await Promise.all([a, b].map((page) => heard(page, lines(0, 700))))
    for (const page of [a, b]) {
      const legs = page.requests.filter((it) => it.startsWith('ws:')).length
      if (legs < 2) throw new Error(`${legs} leg only`)
      equal(await page.evaluate(() => connections.length), 0, 'connections')
    }
    return `${[a, b].map((page) => page.requests.filter((it) => it.startsWith('ws:')).length).join(' and ')} legs`
  })

  await check('rust: two pages lose nothing when WebRTC is closed under them, and have it again', async (scope) => {
    const { url } = await serve(scope)
    const [a, b] = await meet(scope, url)
    const both = (from, to) => Promise.all([a, b].map((page) => say(page, lines(from, to))))
    await Promise.all([reaches(a, 'direct'), reaches(b, 'direct')])
    await both(0, 100)
    const closed = a.evaluate(() => connections.forEach((it) => it.close()))
    await Promise.all([both(100, 500), closed])
    await Promise.all([a, b].map((page) => heard(page, lines(0, 500))))
    await Promise.all([reaches(a, 'direct', 2), reaches(b, 'direct', 2)])
    await both(500, 510)
    await Promise.all([a, b].map((page) => heard(page, lines(0, 510))))
    return (await paths(a)).join(' ')
  })
}

/** A server that permits our pages. */
async function serve(scope) {
  return scope.server(['--allow-origin', await theSite()])
}

/** A page with the program, ready for a person. */
async function chat(scope, url, direct = 'auto') {
  const page = await scope.page(`${await theSite()}/pages/chat.html?server=${encodeURIComponent(url)}&direct=${direct}`)
  await state(page, 'ready')
  return page
}

/** Two of them that have paired. */
async function meet(scope, url, direct) {
  const pages = [await chat(scope, url, direct), await chat(scope, url, direct)]
  await take(pages[1], await show(pages[0]))
  await Promise.all(pages.map((page) => state(page, 'connected')))
  return pages
}

async function show(page) {
  await page.locator('#show').click()
  await page.waitForFunction(() => document.querySelector('#shown').textContent !== '')
  return page.locator('#shown').textContent()
}

async function take(page, code) {
  await page.locator('#code').fill(code)
  await page.locator('#code').press('Enter')
}

/** Says lines as fast as the page takes them, once it is connected. */
async function say(page, lines) {
  await state(page, 'connected')
  await page.evaluate((lines) => {
    for (const text of lines) {
      line.value = text
      document.querySelector('form#say').requestSubmit()
    }
  }, lines)
}

const lines = (from, to) => Array.from({ length: to - from }, (_, at) => `line ${from + at}`)

/** Waits for as many lines, then compares all. */
async function heard(page, lines) {
  await page.waitForFunction((count) => document.querySelectorAll('#heard li').length >= count, lines.length)
  const heard = await page.evaluate(() => [...document.querySelectorAll('#heard li')].map((it) => it.textContent))
  equal(JSON.stringify(heard), JSON.stringify(lines), 'what was heard')
}

/** Waits for a state; any error is one that was not expected. */
async function state(page, wanted) {
  const is = await page.waitForFunction((wanted) => {
    const is = document.querySelector('#state').textContent
    return (is === wanted || is.startsWith('error') || is === 'over') && is
  }, wanted)
  equal(await is.jsonValue(), wanted, 'the state')
}

const paths = (page) => page.evaluate(() => [...document.querySelectorAll('#paths li')].map((it) => it.textContent))

/** Resolves when messages take this kind of path for the `times`th time. */
const reaches = (page, kind, times = 1) =>
  page.waitForFunction(
    ([kind, times]) => [...document.querySelectorAll('#paths li')].filter((it) => it.textContent.includes(kind)).length >= times,
    [kind, times],
  )

/** A way to a server that can be cut: every connection over it breaks at once. */
async function cuttable(scope, url) {
  const to = new URL(url)
  const sockets = new Set()
  const server = createServer((near) => {
    const far = connect(to.port, to.hostname)
    for (const [socket, other] of [[near, far], [far, near]]) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => sockets.delete(socket) && other.destroy())
    }
    near.pipe(far).pipe(near)
  })
  const cut = () => sockets.forEach((it) => it.resetAndDestroy())
  scope.defer(() => server.close())
  scope.defer(cut)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${server.address().port}`, cut }
}
