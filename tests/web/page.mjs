// The page that the binary carries, as people use it.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import jsQR from 'jsqr'
import { PNG } from 'pngjs'
import { equal } from './embed.mjs'
import { check } from './harness.mjs'
import { connected, direct, follow, heard, isKept, meet, ownOnly, say, showCode, shown, typeCode } from './people.mjs'

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
    const b = await follow(scope, `${url}/#${code}`)
    await connected(a)
    await connected(b)
    equal(await b.evaluate(() => location.hash), '', 'the fragment')
    const asked = [...a.requests, ...b.requests].filter((it) => it.includes(code.split('-')[1]))
    equal(asked.join(), '', 'requests with a secret word')
  })

  await check('page: the QR code is the link, with the code in its fragment', async (scope) => {
    const { url } = await scope.server()
    const a = await scope.page(url)
    const code = await showCode(a)
    const { data, width, height } = PNG.sync.read(await a.locator('.qr').screenshot())
    const read = jsQR(Uint8ClampedArray.from(data), width, height)
    equal(read?.data, `${url}/#${code}`, 'what a camera reads')
    return `${width} by ${height} pixels`
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

  await check('page: Chromium and Firefox pair and talk', async (scope) => {
    const skip = scope.noFirefox()
    if (skip) return { skip }
    const { url } = await scope.server()
    const a = await scope.page(url)
    const code = await showCode(a)
    const b = await scope.firefox(url)
    await b.locator('#code').fill(code)
    await b.keyboard.press('Enter')
    await b.waitForSelector('.chip[data-state=on]')
    await direct(a)
    await say(a, 'from Chromium')
    await b.waitForFunction(() => document.querySelector('.line.theirs .bubble')?.textContent === 'from Chromium')
    await b.locator('.composer textarea').fill('from Firefox')
    await b.keyboard.press('Enter')
    await heard(a, 'from Firefox')
    // Folded away in the narrower window.
    const [one, other] = [await a.locator('.phrase').textContent(), await b.$eval('.phrase', (it) => it.textContent)]
    equal(other, one, 'the phrase')
  })

  await check('page: accessibility has no finding', async (scope) => {
    const { url } = await scope.server()
    const found = new Set()
    for (const colorScheme of ['light', 'dark']) {
      const { a, b } = await meet(scope, url, { colorScheme }, async (page) => scan(page, `first view, ${colorScheme}`, found))
      await say(a, 'Hello')
      await heard(b, 'Hello')
      await a.setInputFiles('#files', { name: 'a.txt', mimeType: 'text/plain', buffer: Buffer.from('a') })
      await b.getByRole('button', { name: 'Accept' }).waitFor()
      await scan(b, `conversation, ${colorScheme}`, found)
      await b.setViewportSize({ width: 320, height: 640 })
      await scan(b, `conversation on a small phone, ${colorScheme}`, found)
      await b.getByRole('button', { name: 'Verify' }).click()
      await scan(b, `the phrase on a phone, ${colorScheme}`, found)
      await b.keyboard.press('Escape')
      await b.getByRole('button', { name: 'Accept' }).click()
      await b.locator('.transfer[data-state=done]').waitFor()
      await b.close()
      await a.locator('.banner').getByText('is away').waitFor()
      await say(a, 'Nobody hears this')
      await scan(a, `the other side is away, ${colorScheme}`, found)
      await a.getByRole('button', { name: 'Hang up' }).click()
      await a.getByText('not delivered').waitFor()
      await scan(a, `after the end, ${colorScheme}`, found)
      await a.goto('about:blank')
      await a.goto(`${url}/#123456-tulip-ember`)
      await a.getByText('Connect to the device').waitFor()
      await scan(a, `the question of a link, ${colorScheme}`, found)
      await a.setInputFiles('#home-files', { name: 'b.txt', mimeType: 'text/plain', buffer: Buffer.from('b') })
      await shown(a)
      await scan(a, `files that wait for a code, ${colorScheme}`, found)
      await a.getByRole('button', { name: 'Cancel' }).click()
      await isKept(a)
      await a.evaluate(async () => {
        const form = new FormData()
        form.append('files', new File(['x'], 'shared.txt'))
        form.append('text', 'Look at this')
        await fetch('share', { method: 'POST', body: form, redirect: 'manual' })
      })
      await a.addInitScript(() => (globalThis.BarcodeDetector = class { static getSupportedFormats = async () => ['qr_code'] }))
      await a.goto(url)
      await a.locator('.share-card').waitFor()
      // As large as people may have letters, on as small a phone.
      await a.setViewportSize({ width: 320, height: 640 })
      await a.evaluate(() => void (document.documentElement.style.fontSize = '200%'))
      await a.context().setOffline(true)
      await a.locator('#reach').getByText('no network').waitFor()
      await scan(a, `what was shared, without a network, in large letters, ${colorScheme}`, found)
      equal(await a.evaluate(() => document.documentElement.scrollWidth), 320, 'how wide the page is in large letters')
      await a.locator('#scan').click()
      await a.locator('dialog .problem:not(:empty)').waitFor()
      await scan(a, `the camera, ${colorScheme}`, found)
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
    const kinds = { js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', wasm: 'application/wasm', svg: 'image/svg+xml', png: 'image/png', webmanifest: 'application/manifest+json' }
    let size = 0
    const paths = [...html.matchAll(/"(assets\/[^"]+)"/g)].map(([, path]) => path)
    for (const path of paths) {
      // Pictures are compressed already.
      for (const encoding of path.endsWith('.png') ? ['identity'] : ['br', 'gzip', 'identity']) {
        const part = await fetch(`${url}/${path}`, { headers: { 'accept-encoding': encoding } })
        equal(part.headers.get('content-encoding') ?? 'identity', encoding, `encoding of ${path}`)
        equal(part.headers.get('content-type'), kinds[path.split('.').at(-1)], `type of ${path}`)
        equal(part.headers.get('cache-control'), 'public, max-age=31536000, immutable', `caching of ${path}`)
        if (encoding === 'br') size += Number(part.headers.get('content-length'))
      }
    }
    equal((await fetch(`${url}/service.js`)).headers.get('cache-control'), 'no-cache', 'caching of the service worker')
    const manifest = new URL(paths.find((it) => it.endsWith('.webmanifest')), `${url}/`)
    const about = await (await fetch(manifest)).json()
    equal(new URL(about.start_url, manifest).href, `${url}/`, 'what an installed page starts with')
    for (const { src } of about.icons) equal((await fetch(new URL(src, manifest))).status, 200, `the icon ${src}`)
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
  for (const it of violations) {
    for (const node of it.nodes) found.add(`${where}: ${it.id}: ${node.html.slice(0, 120)} ${node.any[0]?.message ?? ''}`)
  }
}
