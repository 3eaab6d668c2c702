// The page and a terminal, straight to each other: WebRTC between a browser and a native program.

import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { equal } from './embed.mjs'
import { check, sha256 } from './harness.mjs'
import { connected, direct, file, showCode } from './people.mjs'

const SIZE = 20_000_000

export async function pageDirectChecks() {
  for (const browser of ['Chromium', 'Firefox']) {
    await check(`page: ${browser} and a terminal send files straight to each other, whoever shows the code`, async (scope) => {
      const skip = browser === 'Firefox' && scope.noFirefox()
      if (skip) return { skip }
      const { url } = await scope.server()
      const sent = file(scope.directory(), 'sent.bin', SIZE)
      const open = () => (browser === 'Firefox' ? scope.firefox(url) : scope.page(url))
      const run = (...args) => scope.spawn(args[0], [...args, '--json', '--server', url, '--path', 'direct'], insisting())

      const sends = run('send', sent.path)
      const a = await open()
      await type(a, await scope.code(sends))
      await accept(a)
      await a.waitForSelector('.transfer[data-state=done]')
      equal(path(await sends.said(DONE)), 'direct·webrtc', 'the path to the page')
      equal(await sends.exit, 0, 'exit code of send')

      const into = scope.directory()
      const b = await open()
      await b.locator('#show-code').click()
      await b.waitForFunction(() => /\d/.test(document.querySelector('#shown-code')?.textContent ?? ''))
      const code = (await b.$eval('#shown-code', (it) => it.textContent)).replace(/\s/g, '')
      const receives = run('receive', '-y', '-o', into, code)
      await b.waitForSelector('.chip[data-state=on]')
      const input = await b.$('#files')
      await (input.uploadFile ? input.uploadFile(sent.path) : input.setInputFiles(sent.path))
      equal(path(await receives.said(DONE)), 'direct·webrtc', 'the path from the page')
      equal(await receives.exit, 0, 'exit code of receive')
      equal(sha256(readFileSync(join(into, sent.name))), sent.hash, 'the hash')
    })
  }

  await check('page: a direct path to a terminal that is lost costs nothing, and is found again', async (scope) => {
    const { url } = await scope.server()
    const a = await scope.page(url)
    const pings = scope.spawn('ping', ['ping', '-n', '1000000', '-i', '20', '--json', '--server', url, await showCode(a)], insisting())
    await connected(a)
    await direct(a)
    for (let round = 1; round <= 2; round++) {
      await pings.said(new RegExp(`("kind":"direct"[^]*){${round}}`))
      await a.evaluate(() => connections.at(-1).close())
      await pings.said(new RegExp(`("kind":"relay"[^]*){${round + 1}}`))
    }
    await pings.said(/("kind":"direct"[^]*){3}/)
    await direct(a)
    await pings.stop('SIGINT')
    const pongs = pings.stdout().toString().match(/"seq":\d+/g)
    const missing = pongs.findIndex((it, at) => it !== `"seq":${at + 1}`)
    equal(missing, -1, 'the first answer that is missing')
  })

  await check('page: a terminal that keeps to the relay is not sought', async (scope) => {
    const { url } = await scope.server()
    const a = await scope.page(url)
    const pings = scope.spawn('ping', ['ping', '-n', '20', '-i', '100', '--json', '--server', url, '--path', 'relay', await showCode(a)], insisting())
    equal(await pings.exit, 0, 'exit code of ping')
    const said = pings.stdout().toString()
    equal(/"path":"relay·/.test(said) && !/direct·/.test(said), true, 'whether all of it took the relay')
  })
}

/** Every other check keeps its programs to the relay. */
const insisting = () => ({ env: { ...process.env, PEERSOX_PATH: 'auto' } })

const DONE = /\{[^\n]*"event":"done"[^\n]*\}/
const path = ([event]) => JSON.parse(event).path

async function type(page, code) {
  await page.locator('#code').fill(code)
  await page.keyboard.press('Enter')
}

/** Takes what is offered. */
async function accept(page) {
  await page.waitForSelector('.transfer.theirs button')
  await page.$$eval('.transfer.theirs button', (all) => all.find((it) => it.innerText.trim() === 'Accept').click())
}
