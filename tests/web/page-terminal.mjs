// The page beside a terminal: what it says of the command that runs there, and what a person can do about it.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { equal } from './embed.mjs'
import { check } from './harness.mjs'
import { connected, file, showCode, typeCode } from './people.mjs'
import { openServer, stranger } from './stranger.mjs'

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }

export async function pageTerminalChecks() {
  for (const shows of ['page', 'terminal']) {
    await check(`page: a terminal that waits to be saved is saved at one tap, on a phone, whose code the ${shows} shows`, async (scope) => {
      const { url } = await scope.server()
      const a = await scope.page(url, PHONE)
      const pairing = await pair(scope, url, a, shows)
      await connected(a)
      await a.getByText('waits for you to save it').waitFor()
      equal(await a.locator('h1').innerText(), 'The terminal', 'the heading')
      equal(/[()]/.test(await a.locator('.talk-title').innerText()), false, 'whether its command is told as its name')
      equal(await placeholder(a), 'No messages here', 'what stands where messages are written')
      equal(await a.getByText('Attach files').isVisible(), false, 'whether files are asked for')
      const button = await a.locator('#save-device').boundingBox()
      if (!button || button.y + button.height > 844) throw new Error(`the button is at ${JSON.stringify(button)}`)
      await a.locator('#save-device').tap()
      equal(await pairing.exit, 0, 'exit code of pair')
      await a.getByText('the two devices meet without a code').waitFor()
      await a.getByRole('heading', { name: 'Terminal', exact: true }).waitFor()
      equal(await a.locator('#save-device').isVisible(), false, 'whether it can be saved again')
      equal(a.problems.join('\n'), '', 'errors')
    })
  }

  await check('page: a terminal that waits no longer is told of, with what to do', async (scope) => {
    const { url } = await scope.server()
    const a = await scope.page(url)
    const pairing = await pair(scope, url, a, 'terminal')
    await a.locator('#save-device').waitFor()
    await pairing.stop('SIGINT')
    await a.locator('.banner').getByText('run `peersox pair --save NAME` there again').waitFor()
    equal(await a.locator('.banner').getAttribute('data-mood'), 'alarm', 'the mood')
    equal(await a.locator('#save-device').isVisible(), false, 'whether it can be saved')
  })

  await check('page: it offers what the command takes, in words that fit a phone', async (scope) => {
    const { url } = await openServer(scope)
    const rows = [
      // What it calls itself, the heading, what stands where messages are written, whether files can be sent.
      ['peersox/0.1.0', 'The terminal', 'Takes files only', true],
      ['peersox/0.1.0 (receive)', 'The terminal', 'Takes files only', true],
      ['peersox/0.1.0 (send)', 'The terminal', 'Sends files only', false],
      ['peersox/0.1.0 (ping)', 'The terminal', 'No messages here', false],
      ['peersox/0.1.0 (forward --target)', 'The terminal', 'No messages here', false],
      ['Chrome (old)', '“Chrome (old)”', 'Message', true],
    ]
    for (const [name, heading, says, takes] of rows) {
      const a = await scope.page(url, PHONE)
      const b = await stranger(scope, url, await showCode(a), { name })
      await connected(a)
      await a.waitForFunction((says) => document.querySelector('.composer textarea').placeholder === says, says)
      equal(await a.locator('h1').innerText(), heading, `the heading of ${name}`)
      equal(await a.locator('.composer .attach').first().isEnabled(), takes, `whether files can be sent to ${name}`)
      // Only who may save it, too, is worth saving.
      const savable = name === 'peersox/0.1.0' || !name.startsWith('peersox/')
      equal(await a.locator('#save-device').count(), savable ? 1 : 0, `forms that save ${name}`)
      await fits(a, `for ${name}`)
      await a.locator('.side summary').click()
      await a.getByRole('button', { name: 'Hang up' }).click()
      await a.locator('.banner').getByText('You hung up.').waitFor()
      await fits(a, `after ${name}`)
      await a.context().close()
      await b.context().close()
    }
  })

  await check('page: a folder has its name as title, whoever offers it, and its files are named first', async (scope) => {
    const { url } = await scope.server()
    const folder = join(scope.directory(), 'holiday')
    for (let at = 0; at < 6; at++) {
      mkdirSync(join(folder, `day ${at}`), { recursive: true })
      file(join(folder, `day ${at}`), 'photo.jpg', 1_000)
    }
    const a = await scope.page(url)
    const send = scope.spawn('send', ['send', '--json', '--server', url, folder])
    await typeCode(a, await scope.code(send))
    await looksLikeFolder(a, 'holiday/', '6 files · 6.00 kB')
    await send.stop('SIGINT')

    const [b, c] = [await scope.page(url), await scope.page(url)]
    await typeCode(c, await showCode(b))
    await connected(b)
    await b.setInputFiles('#folder', folder)
    await looksLikeFolder(c, 'holiday/', '6 files · 6.00 kB')
    await c.getByRole('button', { name: 'Decline' }).click()

    // One file in a folder is a folder, too.
    const small = join(scope.directory(), 'small')
    mkdirSync(small)
    file(small, 'only.bin', 1_000)
    await b.setInputFiles('#folder', small)
    const card = c.locator('.transfer').nth(1)
    await card.getByText('small/', { exact: true }).waitFor()
    await card.getByText('small/only.bin').waitFor()
  })

  for (const command of ['send', 'receive']) {
    await check(`page: after Ctrl-C of peersox ${command} it says what became of the files, in words`, async (scope) => {
      const { url } = await scope.server()
      const sent = file(scope.directory(), 'long.bin', 60_000_000)
      const a = await scope.page(url)
      let program
      if (command === 'send') {
        program = scope.spawn('send', ['send', '--json', '--server', url, sent.path])
        await typeCode(a, await scope.code(program))
        await a.getByRole('button', { name: 'Accept' }).click()
      } else {
        program = scope.spawn('receive', ['receive', '--json', '--server', url, '-y', '-o', scope.directory(), await showCode(a)])
        await connected(a)
        await a.setInputFiles('#files', sent.path)
      }
      await a.locator('.transfer').getByRole('button', { name: 'Pause' }).click()
      await program.stop('SIGINT')
      await a.locator('.banner').getByText('has hung up').waitFor()
      await a.locator(':is(.transfer[data-state=failed], .transfer[data-state=cancelled])').waitFor()
      await a.getByText('The other side stopped before everything had arrived.').waitFor()
      const said = await a.locator('.talk-main').innerText()
      equal(/\(\d+\)|undefined|null/.exec(said)?.[0], undefined, `what is no word in "${said}"`)
      return said.replaceAll(/\s*\n\s*/g, ' | ').slice(0, 160)
    })
  }
}

/** `peersox pair` and a page that have met by a code. */
async function pair(scope, url, page, shows) {
  const env = { ...process.env, PEERSOX_DEVICES: join(scope.directory(), 'devices') }
  const run = (...code) => scope.spawn('pair', ['pair', '--json', '--server', url, '--save', 'browser', ...code], { env })
  if (shows === 'page') return run(await showCode(page))
  const pairing = run()
  await typeCode(page, await scope.code(pairing))
  return pairing
}

const placeholder = (page) => page.locator('.composer textarea').getAttribute('placeholder')

/** Nothing that stands where messages are written is cut, on whatever phone. */
async function fits(page, what) {
  for (const width of [320, 360, 390]) {
    await page.setViewportSize({ width, height: 844 })
    const [text, needs, has] = await page.locator('.composer textarea').evaluate((it) => {
      const { font, paddingLeft, paddingRight } = getComputedStyle(it)
      const pen = document.createElement('canvas').getContext('2d')
      pen.font = font
      return [it.placeholder, pen.measureText(it.placeholder).width, it.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight)]
    })
    if (needs > has) throw new Error(`"${text}" needs ${needs} pixels and has ${has}, ${what}, on ${width}`)
  }
}

async function looksLikeFolder(page, title, about) {
  const card = page.locator('.transfer')
  await card.getByText(title, { exact: true }).first().waitFor()
  await card.getByText(about).waitFor()
  const first = await card.locator('.names > ul bdi').allInnerTexts()
  equal(first.length, 5, 'names that are seen at once')
  equal(first.filter((it) => it.endsWith('/')).join(), '', 'folders among the first names')
}
