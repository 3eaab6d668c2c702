// The page that the binary carries, as people use it.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { equal } from './embed.mjs'
import { binary, check, ownNetwork, sha256 } from './harness.mjs'
import {
  connected,
  direct,
  done,
  downloaded,
  file,
  heard,
  meet,
  ownOnly,
  save,
  say,
  showCode,
  shown,
  typeCode,
} from './people.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export async function pageChecks() {
  await check('page: two people pair by typing a code and talk', async (scope) => {
    const { url } = await scope.server()
    const [a, b] = [await scope.page(url), await scope.page(url)]
    const code = await showCode(a)
    const began = performance.now()
    await typeCode(b, code)
    await Promise.all([direct(a), direct(b)])
    const took = Math.round(performance.now() - began)
    await say(a, 'Hello <b>there</b>')
    await heard(b, 'Hello <b>there</b>')
    await say(b, 'PING')
    await heard(a, 'PING')
    const [one, other] = await Promise.all([a, b].map((it) => it.locator('.phrase').innerText()))
    equal(one, other, 'the phrase')
    ownOnly(url, a, b)
    return `direct after ${took} ms`
  })

  await check('page: a link brings the code and leaves no trace of it', async (scope) => {
    const { url } = await scope.server()
    const a = await scope.page(url)
    const code = await showCode(a)
    const b = await scope.page(`${url}/#${code}`)
    await connected(a)
    await connected(b)
    equal(await b.evaluate(() => location.hash), '', 'the fragment')
    const asked = [...a.requests, ...b.requests].filter((it) => it.includes(code.split('-')[1]))
    equal(asked.join(), '', 'requests with a secret word')
  })

  await check('page: a wrong code is refused in words, and spends the right one', async (scope) => {
    const { url } = await scope.server()
    const [a, b] = [await scope.page(url), await scope.page(url)]
    const [digits, one, other] = (await showCode(a)).split('-')
    await typeCode(b, `${digits}-${other}-${one === other ? 'tulip' : one}`)
    await b.locator('#code-problem:not(:empty)').waitFor()
    await a.locator('.offer .problem').waitFor()
    ownOnly(url, a, b)
    return (await b.locator('#code-problem').innerText()).slice(0, 60)
  })

  await check('page: files go both ways, verified, with a pause', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    const directory = scope.directory()
    const large = file(directory, 'large.bin', 30_000_000)
    await a.setInputFiles('#files', large.path)
    await b.getByRole('button', { name: 'Accept' }).click()
    const receiving = b.locator('.transfer.theirs')
    await receiving.locator('progress').waitFor()
    await receiving.getByRole('button', { name: 'Pause' }).click()
    await b.locator('.transfer[data-state=paused]').waitFor()
    const download = b.waitForEvent('download')
    await receiving.getByRole('button', { name: 'Resume' }).click()
    await done(a, b)
    equal(await downloaded(await download), large.hash, 'the hash')

    const small = [file(directory, 'one.txt', 10_000), file(directory, 'empty.txt', 0)]
    await b.setInputFiles('#files', small.map((it) => it.path))
    await a.getByRole('button', { name: 'Accept' }).click()
    await a.locator('.transfer.theirs[data-state=done]').waitFor()
    for (const it of small) {
      const saved = a.waitForEvent('download')
      await a.getByRole('button', { name: `Save ${it.name}` }).click()
      equal(await downloaded(await saved), it.hash, it.name)
    }

    // The same once more: everything is there already.
    await a.setInputFiles('#files', large.path)
    await b.getByRole('button', { name: 'Accept' }).click()
    const again = b.waitForEvent('download')
    await b.locator('.transfer.theirs').nth(1).locator('.verified:visible').waitFor()
    equal(await downloaded(await again), large.hash, 'the hash of the second time')
    ownOnly(url, a, b)
  })

  await check('page: a transfer goes on where it was after its receiver was closed', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await save(a, 'Tablet')
    await save(b, 'Laptop')
    const sent = file(scope.directory(), 'long.bin', 40_000_000)
    await a.setInputFiles('#files', sent.path)
    await b.getByRole('button', { name: 'Accept' }).click()
    await b.waitForFunction(() => document.querySelector('.transfer progress')?.value > 0.2)
    await b.close()
    const again = await scope.page(url, {}, b.context())
    await again.getByRole('button', { name: 'Accept' }).click()
    const download = again.waitForEvent('download')
    await again.locator('.transfer[data-state=done]').waitFor()
    equal(await downloaded(await download), sent.hash, 'the hash')
    return again.locator('.transfer .numbers').innerText()
  })

  await check('page: where it is not secure, it says that files are held in memory', async (scope) => {
    if (!ownNetwork) return { skip: 'every address is that of this machine' }
    const { url } = await scope.server([], '10.99.0.1:0')
    const { a, b } = await meet(scope, url)
    const sent = file(scope.directory(), 'small.bin', 1_000_000)
    await a.setInputFiles('#files', sent.path)
    await b.getByText('only hold files in memory').waitFor()
    const download = b.waitForEvent('download')
    await b.getByRole('button', { name: 'Accept' }).click()
    equal(await downloaded(await download), sent.hash, 'the hash')
  })

  await check('page: what is dropped is offered, and can be declined', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await a.evaluate(() => {
      const data = new DataTransfer()
      for (const name of ['x.txt', 'y.txt']) data.items.add(new File([`content of ${name}`], name))
      dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }))
    })
    await b.getByText('2 files').first().waitFor()
    await b.getByRole('button', { name: 'Decline' }).click()
    await a.locator('.transfer.mine[data-state=declined]').waitFor()
  })

  await check('page: a folder that is dropped arrives with peersox receive', async (scope) => {
    const { url } = await scope.server()
    const directory = scope.directory()
    const [folder, target] = [join(directory, 'holiday'), join(directory, 'received')]
    mkdirSync(join(folder, 'lake'), { recursive: true })
    mkdirSync(target)
    const [near, far] = [file(folder, 'near.bin', 300_000), file(join(folder, 'lake'), 'far.bin', 700_000)]
    const a = await scope.page(url)
    const code = await showCode(a)
    const receive = scope.spawn('receive', ['receive', '--json', '--server', url, '-y', '-o', target, code])
    await connected(a)
    const devtools = await a.context().newCDPSession(a)
    for (const type of ['dragEnter', 'dragOver', 'drop']) {
      const data = { items: [], files: [folder], dragOperationsMask: 1 }
      await devtools.send('Input.dispatchDragEvent', { type, x: 400, y: 300, data })
    }
    await a.locator('.transfer.mine[data-state=done]').waitFor()
    equal(await receive.exit, 0, 'exit code')
    equal(sha256(readFileSync(join(target, 'holiday/near.bin'))), near.hash, 'near.bin')
    equal(sha256(readFileSync(join(target, 'holiday/lake/far.bin'))), far.hash, 'far.bin')
  })

  await check('page: receives from peersox send', async (scope) => {
    const { url } = await scope.server()
    const directory = scope.directory()
    const sent = file(directory, 'from-terminal.bin', 20_000_000)
    const send = scope.spawn('send', ['send', '--json', '--server', url, sent.path])
    const a = await scope.page(url)
    await typeCode(a, await scope.code(send))
    const download = a.waitForEvent('download')
    await a.getByRole('button', { name: 'Accept' }).click()
    equal(await downloaded(await download), sent.hash, 'the hash')
    equal(await send.exit, 0, 'exit code')
  })

  await check('page: sends to peersox receive', async (scope) => {
    const { url } = await scope.server()
    const directory = scope.directory()
    const sent = file(directory, 'from-page.bin', 20_000_000)
    const target = join(directory, 'received')
    mkdirSync(target)
    const a = await scope.page(url)
    const code = await showCode(a)
    const receive = scope.spawn('receive', ['receive', '--json', '--server', url, '-y', '-o', target, code])
    await connected(a)
    await a.setInputFiles('#files', sent.path)
    await a.locator('.transfer.mine[data-state=done]').waitFor()
    equal(await receive.exit, 0, 'exit code')
    equal(sha256(readFileSync(join(target, 'from-page.bin'))), sent.hash, 'the hash')
  })

  await check('page: talks with peersox connect, whoever shows the code', async (scope) => {
    const { url } = await scope.server()
    const a = await scope.page(url)
    const joining = scope.spawn('joining', ['connect', '--json', '--server', url, await showCode(a)])
    await talk(a, joining)
    await a.getByRole('button', { name: 'Hang up' }).click()
    joining.stdin.end()
    await joining.exit

    const showing = scope.spawn('showing', ['connect', '--json', '--server', url])
    const b = await scope.page(url)
    await typeCode(b, await scope.code(showing))
    await talk(b, showing)
    showing.stdin.end()
  })

  await check('page: a saved device comes back without a code', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await save(a, 'Tablet')
    await save(b, 'Laptop')
    const context = b.context()
    await b.close()
    const again = await scope.page(url, {}, context)
    await again.getByRole('heading', { name: 'Laptop' }).waitFor()
    await connected(again)
    await say(again, 'Here I am again')
    await heard(a, 'Here I am again')
    await say(a, 'Welcome back')
    await heard(again, 'Welcome back')
    ownOnly(url, a, again)
  })

  await check('page: a reload of the tab goes on', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await b.reload()
    await connected(b)
    await say(a, 'Still there?')
    await heard(b, 'Still there?')
  })

  await check('page: recovers by itself when the server is restarted', async (scope) => {
    const help = execFileSync(binary, ['serve', '--help'], { encoding: 'utf8' })
    if (!help.includes('--state')) return { skip: 'this server forgets pairings when it stops' }
    const state = join(scope.directory(), 'state')
    const first = await scope.server(['--state', state])
    const { a, b } = await meet(scope, first.url)
    await say(a, 'before')
    await heard(b, 'before')
    await first.stop()
    await say(a, 'meanwhile')
    await scope.server(['--state', state], new URL(first.url).host)
    await heard(b, 'meanwhile')
    await say(b, 'after')
    await heard(a, 'after')
  })

  await check('page: accessibility has no serious finding', async (scope) => {
    const { url } = await scope.server()
    const found = new Set()
    for (const colorScheme of ['light', 'dark']) {
      const { a, b } = await meet(scope, url, { colorScheme }, async (page) => scan(page, `first view, ${colorScheme}`, found))
      await say(a, 'Hello')
      await heard(b, 'Hello')
      await a.setInputFiles('#files', { name: 'a.txt', mimeType: 'text/plain', buffer: Buffer.from('a') })
      await b.getByRole('button', { name: 'Accept' }).waitFor()
      await scan(b, `conversation, ${colorScheme}`, found)
      await b.setViewportSize({ width: 390, height: 844 })
      await scan(b, `conversation on a phone, ${colorScheme}`, found)
      await a.context().close()
      await b.context().close()
    }
    equal([...found].join('\n'), '', 'findings')
  })

  await check('page: the keyboard is enough', async (scope) => {
    const { url } = await scope.server()
    const [a, b] = [await scope.page(url), await scope.page(url)]
    await tabTo(a, '#show-code')
    await a.keyboard.press('Enter')
    const code = await shown(a)
    await tabTo(b, '#code')
    await b.keyboard.type(code.replaceAll('-', ' ').toUpperCase())
    await b.keyboard.press('Enter')
    await connected(b)
    await b.keyboard.type('typed blindly')
    await b.keyboard.press('Enter')
    await heard(a, 'typed blindly')
  })

  await check('page: caching, compression and policy', async (scope) => {
    const { url } = await scope.server()
    const index = await fetch(url, { headers: { 'accept-encoding': 'br' } })
    const html = await index.text()
    equal(index.headers.get('content-encoding'), 'br', 'encoding')
    equal(index.headers.get('cache-control'), 'no-cache', 'caching of /')
    const policy = index.headers.get('content-security-policy')
    if (/unsafe-inline|'unsafe-eval'|\*/.test(policy) || !policy.includes("default-src 'none'")) throw new Error(policy)
    if (/<script(?![^>]*src=)|\sstyle=|<style|\son\w+=/.test(html)) throw new Error('something is inline')
    const again = await fetch(url, { headers: { 'accept-encoding': 'br', 'if-none-match': index.headers.get('etag') } })
    equal(again.status, 304, 'status')
    const kinds = { js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', wasm: 'application/wasm', svg: 'image/svg+xml' }
    let size = 0
    const paths = [...html.matchAll(/"(\/assets\/[^"]+)"/g)].map(([, path]) => path)
    for (const path of paths) {
      for (const encoding of ['br', 'gzip', 'identity']) {
        const part = await fetch(url + path, { headers: { 'accept-encoding': encoding } })
        equal(part.headers.get('content-encoding') ?? 'identity', encoding, `encoding of ${path}`)
        equal(part.headers.get('content-type'), kinds[path.split('.').at(-1)], `type of ${path}`)
        equal(part.headers.get('cache-control'), 'public, max-age=31536000, immutable', `caching of ${path}`)
        if (encoding === 'br') size += Number(part.headers.get('content-length'))
      }
    }
    return `${paths.length} parts, ${size} bytes with brotli`
  })
}

async function talk(page, program) {
  await connected(page)
  await page.locator('.composer textarea:enabled').waitFor()
  await say(page, 'from the page')
  await program.wrote('from the page\n')
  program.stdin.write('from the terminal\n')
  await heard(page, 'from the terminal')
}

/** Presses Tab until it is there. */
async function tabTo(page, selector) {
  for (let presses = 0; presses < 30; presses++) {
    if (await page.evaluate((it) => document.activeElement?.matches(it), selector)) return
    await page.keyboard.press('Tab')
  }
  throw new Error(`Tab never reaches ${selector}`)
}

async function scan(page, where, found) {
  // Playwright evaluates outside the page's policy.
  await page.evaluate(axe)
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }))
  for (const it of violations.filter((it) => it.impact === 'serious' || it.impact === 'critical')) {
    for (const node of it.nodes) found.add(`${where}: ${it.id}: ${node.html.slice(0, 120)} ${node.any[0]?.message ?? ''}`)
  }
}
