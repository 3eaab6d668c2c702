// The page as an app: installed, without a network, as a target of the share sheet, with a camera.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createHash } from 'node:crypto'
import { chromium } from 'playwright-core'
import { PNG } from 'pngjs'
import { equal } from './embed.mjs'
import { check, chromiumPath, quietPort, root, until } from './harness.mjs'
import { connected, downloaded, file, heard, isKept, meet, relayOnly, save, say, showCode, typeCode } from './people.mjs'

const site = join(root, 'target/web/site')

export async function pageAppChecks() {
  await check('page: as an app it can be installed, also below a path', async (scope) => {
    const port = await quietPort()
    const home = `http://127.0.0.1:${port}/x/`
    await scope.server(['--public-url', home], `127.0.0.1:${port}`)
    // A window that keeps nothing cannot install anything.
    const page = await lasting(scope, home)
    const devtools = await page.context().newCDPSession(page)
    equal(await page.evaluate(async () => (await navigator.serviceWorker.ready).scope), home, 'what the worker serves')
    const { installabilityErrors } = await devtools.send('Page.getInstallabilityErrors')
    equal(JSON.stringify(installabilityErrors), '[]', 'what keeps it from being installed')
    equal((await devtools.send('Page.getAppId')).appId, home, 'the name of the app')
    const { url, errors, data } = await devtools.send('Page.getAppManifest')
    equal(errors.length, 0, 'errors in the manifest')
    const manifest = JSON.parse(data)
    const at = (path) => new URL(path, url).href
    equal(at(manifest.share_target.action), `${home}share`, 'where a share sheet posts to')
    const touch = await page.locator('link[rel=apple-touch-icon]').evaluate((it) => it.href)
    const pictures = manifest.icons.filter((it) => it.type === 'image/png').map((it) => [at(it.src), Number(it.sizes.split('x')[0]), it.purpose === 'maskable'])
    equal(pictures.map(([, size, isCut]) => `${size}${isCut ? ' cut' : ''}`).join(), '192,512,512 cut', 'pictures')
    for (const [src, size, isFilled] of [...pictures, [touch, 180, true]]) {
      const { width, height, data } = PNG.sync.read(Buffer.from(await (await fetch(src)).arrayBuffer()))
      equal(`${width} by ${height}`, `${size} by ${size}`, src)
      equal(data[3], isFilled ? 255 : 0, `how opaque the corner of ${src} is`)
      if (!data.some((it, at) => at % 4 === 0 && it !== data[0])) throw new Error(`${src} is of one colour`)
    }
    // The browser decides when it says so; the page does not insist.
    const asked = await page.evaluate(() => {
      const event = new Event('beforeinstallprompt', { cancelable: true })
      globalThis.prompted = 0
      event.prompt = async () => void prompted++
      dispatchEvent(event)
      return event.defaultPrevented
    })
    equal(asked, true, 'whether the browser keeps quiet')
    await page.getByRole('button', { name: 'Install' }).click()
    equal(await page.evaluate(() => prompted), 1, 'how often the browser asked')
    equal(await page.locator('#install').isVisible(), false, 'whether it is offered once more')
  })

  await check('page: without a network it comes up, says what is missing, and keeps nothing but itself', async (scope) => {
    const address = `127.0.0.1:${await quietPort()}`
    const { url, stop } = await scope.server([], address)
    const page = await scope.page(url)
    await isKept(page)
    await showCode(page)
    await page.evaluate(() => fetch('status.json'))
    await stop()
    await page.reload()
    await page.locator('#reach').getByText('server of this page cannot be reached').waitFor()
    await page.getByRole('heading', { name: 'Two devices, one short code.' }).waitFor()
    await page.context().setOffline(true)
    await page.locator('#reach').getByText('This device has no network').waitFor()
    await page.reload()
    await page.locator('#choose').waitFor()
    const kept = await page.evaluate(async () => {
      const all = []
      for (const name of await caches.keys()) for (const it of await (await caches.open(name)).keys()) all.push(it.url)
      return all.sort()
    })
    const parts = readFileSync(join(site, 'embed.txt'), 'utf8').trim().split('\n').map((it) => it.split('\t')[0])
    const expected = parts.filter((it) => !it.endsWith('.png') && it !== '/service.js').map((it) => `${url}${it}`)
    equal(kept.join('\n'), expected.sort().join('\n'), 'what is kept')
    await scope.server([], address)
    await page.context().setOffline(false)
    await page.locator('#reach').waitFor({ state: 'hidden' })
    await showCode(page)
  })

  await check('page: a new version comes as a whole, and takes over when nobody is busy', async (scope) => {
    const [first, second] = [partsOf(), changed(partsOf())]
    const server = await serving(scope, first)
    const page = await scope.page(server.url)
    await isKept(page)
    // The same page comes with another policy once a server knows more relays.
    server.policy = "frame-ancestors 'self'"
    await page.reload()
    await until(async () => (await keptPolicy(page)) === server.policy)
    // A question on the screen is something that a person is in the midst of.
    await page.evaluate(() => void (location.hash = '123456-tulip-ember'))
    await page.getByText('Connect to the device that shows this code?').waitFor()
    await page.evaluate(() => {
      globalThis.asked = 0
      globalThis.over = new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve, { once: true }))
      navigator.serviceWorker.addEventListener('message', ({ data }) => void (data.word === 'busy' && asked++))
    })
    server.parts = second
    await page.evaluate(async () => void (await navigator.serviceWorker.ready).update())
    await page.getByRole('button', { name: 'Load the new version' }).waitFor()
    await until(async () => (await page.evaluate(() => asked)) > 0)
    await takeOver(page)
    await until(async () => (await page.evaluate(() => asked)) > 1)
    equal(await page.evaluate(async () => (await navigator.serviceWorker.ready).waiting?.state), 'installed', 'the new one, while a person is busy')
    // What was not loaded before the upgrade is there all the same.
    const old = first.get('/service.js').toString().match(/assets\/zip-\w+\.js/)[0]
    equal(second.has(`/${old}`), false, 'whether the server still has it')
    equal(await page.evaluate(async (old) => (await fetch(old)).status, old), 200, 'a part of the old version')
    await page.locator('#code').fill('')
    await takeOver(page)
    await page.evaluate(() => over)
    equal(await page.evaluate(async (old) => (await fetch(old)).status, old), 200, 'the same after the new one took over')

    const isSecond = async (what) => equal(await page.locator('script[type=module]').getAttribute('src'), scriptOf(second), what)
    server.parts = new Map()
    await page.reload()
    await page.locator('#choose').waitFor()
    await isSecond('the page without a server')

    // A server in the midst of an upgrade, or one of two that differ, gives parts that do not belong together.
    const third = changed(second)
    server.parts = new Map([...second, ['/service.js', third.get('/service.js')]])
    const end = await page.evaluate(async () => {
      const registration = await navigator.serviceWorker.ready
      const found = new Promise((resolve) => registration.addEventListener('updatefound', () => resolve(registration.installing)))
      await registration.update().catch(() => {})
      const worker = await found
      while (worker.state === 'installing') await new Promise((resolve) => worker.addEventListener('statechange', resolve, { once: true }))
      return worker.state
    })
    equal(end, 'redundant', 'a version that does not fit together')
    equal(await page.evaluate(async () => (await caches.keys()).length), 2, 'versions that are kept')
    server.parts = new Map()
    await page.reload()
    await page.locator('#choose').waitFor()
    await isSecond('the page after that')
  })

  await check('page: what another app shares goes to a saved device, and past the server', async (scope) => {
    const directory = scope.directory()
    const { url } = await scope.server()
    const answer = await fetch(`${url}/share`, { method: 'POST', body: Buffer.alloc(100_000), redirect: 'manual' })
    equal(`${answer.status} ${answer.headers.get('location')}`, '303 ./?shared=none', 'what the server says')
    equal((await fetch(`${url}/share`, { redirect: 'manual' })).headers.get('location'), './', 'what it says to a reload')
    const { a, b } = await meet(scope, url, {}, relayOnly)
    const sent = [file(directory, 'photo of a lake.jpg', 200_000), file(directory, 'empty.txt', 0)]
    // A browser without the worker.
    const fresh = await scope.page('about:blank')
    await share(fresh, url, { text: 'early' }, sent.slice(0, 1))
    await fresh.getByText('share it once more').waitFor()
    equal(new URL(fresh.url()).search, '', 'what of it is left in the address')
    await fresh.getByRole('button', { name: 'Close' }).click()

    await save(a, 'Tablet')
    await save(b, 'Laptop')
    await isKept(a)
    // Without a network nothing can go to the server.
    await a.context().setOffline(true)
    await share(a, url, { title: 'A lake', text: 'Look', url: 'https://example.org/lake' }, sent)
    const card = a.locator('.share-card')
    await card.getByText('photo of a lake.jpg').waitFor()
    await card.getByText('https://example.org/lake').waitFor()
    await a.context().setOffline(false)
    await card.locator('.device-row', { hasText: 'Tablet' }).click()
    await heard(b, 'A lake\nLook\nhttps://example.org/lake')
    await b.getByRole('button', { name: 'Accept' }).click()
    const saved = b.waitForEvent('download')
    await b.getByRole('button', { name: `Save ${sent[0].name}` }).click()
    equal(await downloaded(await saved), sent[0].hash, 'the hash')
    equal(await a.evaluate(() => caches.has('peersox-shared /')), false, 'whether it is kept after it was used')

    // To a new code; and what nobody wants for a day is gone.
    await share(a, url, { text: 'For somebody else' }, sent.slice(0, 1))
    await a.locator('#share-code').click()
    const c = await scope.page(url)
    await typeCode(c, (await a.locator('#shown-code').innerText()).replace(/\s/g, ''))
    await heard(c, 'For somebody else')
    await c.getByRole('button', { name: 'Accept' }).waitFor()
    await share(a, url, { text: 'Old' }, [])
    await card.getByText('Old').waitFor()
    await share(a, url, { text: '' }, [])
    await a.getByText('The other app gave nothing that can be sent.').waitFor()
    equal(await a.getByText('Old', { exact: true }).count(), 0, 'what was shared before')
    await share(a, url, { text: 'Old' }, [])
    await card.getByText('Old').waitFor()
    await a.evaluate(async () => {
      const cache = await caches.open('peersox-shared /')
      const about = await (await cache.match('/shared/about')).json()
      await cache.put('/shared/about', Response.json({ ...about, at: about.at - 86_400_001 }))
    })
    await a.reload()
    await until(() => a.evaluate(async () => !(await caches.has('peersox-shared /'))))
    equal(await card.count(), 0, 'cards of what is too old')
  })

  await check('page: the camera reads the code, is asked for by a click only, and is let go', async (scope) => {
    const { url } = await scope.server()
    const a = await scope.page(url)
    equal(await a.locator('#scan').isVisible(), await a.evaluate(() => 'BarcodeDetector' in globalThis), 'whether a scan is offered')
    const code = await showCode(a)
    const film = join(scope.directory(), 'code.y4m')
    writeFileSync(film, filmOf(PNG.sync.read(await a.locator('.qr').screenshot())))
    const fake = ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${film}`]
    const b = await lasting(scope, 'about:blank', fake)
    // Chromium on Linux has no detector of its own: another library reads what the camera of the page sees.
    await b.addInitScript(readFileSync(createRequire(import.meta.url).resolve('jsqr'), 'utf8'))
    await b.addInitScript(detector)
    await b.goto(url)
    await b.locator('#scan').waitFor()
    equal(await b.evaluate(() => tracks.length), 0, 'cameras before anybody asked')
    await b.locator('#scan').click()
    // The first that it sees is of another server.
    await b.locator('dialog').getByText('of another server, other.example').waitFor()
    await b.evaluate(() => void (decoy = null))
    await b.getByText('Connect to the device that shows this code?').waitFor()
    equal(await b.locator('#code').inputValue(), code, 'the code')
    equal(await b.evaluate(() => tracks.map((it) => it.readyState).join()), 'ended', 'the camera afterwards')
    await b.getByRole('button', { name: 'Connect' }).click()
    await connected(a)
  })

  await check('page: addresses that hide something are no links, and pasted text goes where it belongs', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url, {}, relayOnly)
    const plain = ['javascript:alert(1)', 'https://good.example@evil.example/', 'https://good.example/\u202egpj.exe', 'data:text/html,x', 'file:///etc/passwd', '<a href=https://tag.example>']
    await say(a, ['https://one.example/a?b=c#d.', '(http://two.example)', 'https://\u0430pple.example', ...plain].join(' , '))
    await heard(b, 'two.example')
    const links = await b.locator('.line.theirs .bubble a').evaluateAll((all) => all.map((it) => `${it.href} ${it.target} ${it.rel}`))
    const how = '_blank noopener noreferrer'
    equal(links.join('\n'), ['https://one.example/a?b=c#d', 'http://two.example/', 'https://xn--pple-43d.example/', 'https://tag.example/'].map((it) => `${it} ${how}`).join('\n'), 'links')
    await b.locator('.bubble').getByText('(xn--pple-43d.example)').waitFor()
    equal(b.requests.some((it) => it.includes('one.example')), false, 'whether a preview was asked for')

    const paste = (page, target, text, withPicture) =>
      page.evaluate(
        ([target, text, withPicture]) => {
          const data = new DataTransfer()
          data.setData('text/plain', text)
          if (withPicture) data.items.add(new File(['x'], 'image.png', { type: 'image/png' }))
          const event = new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })
          document.querySelector(target).dispatchEvent(event)
          return event.defaultPrevented
        },
        [target, text, withPicture],
      )
    await a.evaluate(() => document.activeElement.blur())
    equal(await paste(a, 'body', 'from the clipboard', false), true, 'whether the page takes text')
    equal(await a.locator('.composer textarea').inputValue(), 'from the clipboard', 'the message')
    // A spreadsheet adds a picture of what it copies.
    equal(await paste(a, '.composer textarea', 'cells', true), false, 'whether the page takes text from a field')
    await paste(a, 'body', '', true)
    await b.locator('.transfer').getByText('image.png').first().waitFor()
    equal(await b.locator('.transfer').count(), 1, 'offers')
    const c = await scope.page(url)
    await paste(c, 'body', `Join me: ${url}/#123456-tulip-ember`, false)
    await c.getByText('Connect to the device that shows this code?').waitFor()
    equal(await c.locator('#code').inputValue(), '123456-tulip-ember', 'the code')
  })

  await check('page: the largest thing is painted before any script has come', async (scope) => {
    const { url } = await scope.server()
    const page = await scope.page('about:blank')
    await page.addInitScript(() => {
      globalThis.largest = []
      new PerformanceObserver((list) => largest.push(...list.getEntries())).observe({ type: 'largest-contentful-paint', buffered: true })
    })
    const devtools = await page.context().newCDPSession(page)
    const limits = { offline: false, latency: 150, downloadThroughput: 1.6e6 / 8, uploadThroughput: 1.6e6 / 8 }
    await devtools.send('Network.emulateNetworkConditions', limits)
    await page.goto(url)
    await page.locator('#choose').waitFor()
    const paint = () => page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(() => resolve([largest.at(-1).element?.tagName, Math.round(largest.at(-1).startTime)])))))
    const [, took] = await paint()
    // With an empty cache, and no script.
    await devtools.send('Network.setCacheDisabled', { cacheDisabled: true })
    await page.goto('about:blank')
    let open
    const held = new Promise((resolve) => (open = resolve))
    await page.route('**/page-*.js', async (route) => {
      await held
      await route.continue()
    })
    const loaded = page.goto(url)
    await page.waitForFunction(() => globalThis.largest?.some((it) => it.element?.tagName === 'H1'))
    open()
    await loaded
    await page.locator('#choose').waitFor()
    equal((await paint())[0], 'H1', 'the largest thing')
    return `after ${took} ms at 150 ms and 1.6 Mbit/s`
  })
}

/** A page in a window that keeps what it is given. */
async function lasting(scope, url, args = []) {
  const options = { executablePath: chromiumPath(), args: ['--no-sandbox', '--disable-gpu', '--no-first-run', ...args] }
  const context = await chromium.launchPersistentContext(scope.directory(), options)
  scope.defer(() => context.close())
  const page = context.pages()[0] ?? (await context.newPage())
  page.setDefaultTimeout(60_000)
  await page.goto(url)
  return page
}

/** The policy of the page that is kept, of the newest version. */
const keptPolicy = (page) =>
  page.evaluate(async () => {
    const name = (await caches.keys()).at(-1)
    return (await (await caches.open(name)).match('./')).headers.get('content-security-policy')
  })

/** Asks the worker that waits to take over. */
const takeOver = (page) => page.evaluate(async () => (await navigator.serviceWorker.ready).waiting.postMessage({ word: 'take over' }))

/** What the system does when a person picks the page in a share sheet. */
async function share(page, url, fields, files) {
  await page.goto('about:blank')
  const inputs = Object.entries(fields).map(([name]) => `<textarea name="${name}"></textarea>`)
  await page.setContent(`<form method="post" action="${url}/share" enctype="multipart/form-data"><input type="file" name="files" multiple>${inputs.join('')}</form>`)
  for (const [name, value] of Object.entries(fields)) await page.locator(`[name=${name}]`).fill(value)
  await page.locator('input').setInputFiles(files.map((it) => it.path))
  await Promise.all([page.waitForURL((it) => it.href.startsWith(url)), page.evaluate(() => document.forms[0].submit())])
}

/** The parts of the page as they were built, by their paths. */
function partsOf() {
  const rows = readFileSync(join(site, 'embed.txt'), 'utf8').trim().split('\n').map((it) => it.split('\t'))
  return new Map(rows.map(([path, , , file]) => [path, readFileSync(join(site, file))]))
}

/** Another version: one lazily loaded part differs, and with it all that name it. */
function changed(parts) {
  const next = new Map(parts)
  const text = (path) => next.get(path).toString()
  const digest = (content) => createHash('sha256').update(content).digest('hex').slice(0, 12)
  const renamed = []
  const replace = (path, content) => {
    const before = digest(next.get(path))
    next.delete(path)
    const name = path.replace(before, digest(content))
    next.set(name, Buffer.from(content))
    renamed.push([before, digest(content)])
  }
  const pathOf = (name) => [...next.keys()].find((it) => it.startsWith(`/assets/${name}-`) && it.endsWith('.js'))
  const all = (content) => renamed.reduce((it, [before, after]) => it.replaceAll(before, after), content)
  replace(pathOf('zip'), `${text(pathOf('zip'))}//`)
  replace(pathOf('page'), all(text(pathOf('page'))))
  replace('/', all(text('/')))
  const service = text('/service.js')
  // The name of a version is the digest of its list.
  const [before, after] = [service, all(service)].map((it) => digest(it.match(/\[\[".*?"\]\]/)[0]))
  if (!service.includes(before)) throw new Error('the worker is not named by the digest of its parts')
  next.set('/service.js', Buffer.from(all(service).replaceAll(before, after)))
  return next
}

const scriptOf = (parts) => parts.get('/').toString().match(/assets\/page-\w+\.js/)[0]

/** A server whose parts can be replaced, as an upgrade does. Without any it hangs up. */
async function serving(scope, parts) {
  const kinds = { js: 'text/javascript', css: 'text/css', wasm: 'application/wasm', svg: 'image/svg+xml', png: 'image/png', webmanifest: 'application/manifest+json' }
  const it = { parts, url: '', policy: "frame-ancestors 'none'" }
  const server = createServer((request, response) => {
    if (it.parts.size === 0) return request.socket.destroy()
    const path = request.url.split('?')[0]
    const content = it.parts.get(path)
    if (!content) return response.writeHead(404).end()
    const cached = path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache'
    const tag = `"${createHash('sha256').update(content).digest('hex')}"`
    response.writeHead(200, {
      'content-type': kinds[path.split('.').at(-1)] ?? 'text/html',
      'cache-control': cached,
      'content-security-policy': it.policy,
      etag: tag,
    })
    response.end(content)
  })
  scope.defer(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  it.url = `http://127.0.0.1:${server.address().port}`
  return it
}

/** A film of one picture, in YUV4MPEG2, as a camera that looks at it would see it. */
function filmOf(picture) {
  const [width, height] = [640, 480]
  const luma = Buffer.alloc(width * height, 235)
  const size = Math.min(440, picture.width * 2)
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const from = Math.floor((y / size) * picture.height) * picture.width + Math.floor((x / size) * picture.width)
      luma[(y + 20) * width + x + 100] = picture.data[4 * from] > 127 ? 235 : 16
    }
  }
  const frame = Buffer.concat([Buffer.from('FRAME\n'), luma, Buffer.alloc((width * height) / 2, 128)])
  return Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F10:1 Ip A1:1 C420jpeg\n`), frame, frame])
}

/** Decodes for the page, and keeps the cameras that it opens. */
function detector() {
  globalThis.decoy = 'https://other.example/#123456-tulip-ember'
  globalThis.tracks = []
  globalThis.BarcodeDetector = class {
    static async getSupportedFormats() {
      return ['qr_code']
    }
    async detect(video) {
      if (decoy) return [{ rawValue: decoy }]
      const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight)
      const context = canvas.getContext('2d')
      context.drawImage(video, 0, 0)
      const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height)
      const found = jsQR(data, width, height)
      return found ? [{ rawValue: found.data }] : []
    }
  }
  const devices = globalThis.navigator.mediaDevices
  const real = devices?.getUserMedia.bind(devices)
  if (!real) return
  devices.getUserMedia = async (wanted) => {
    const stream = await real(wanted)
    tracks.push(...stream.getTracks())
    return stream
  }
}
