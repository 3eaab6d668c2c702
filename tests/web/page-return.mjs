// What a page comes back to: saved devices, its own tab, a server that was away.

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { equal } from './embed.mjs'
import { binary, check } from './harness.mjs'
import {
  connected,
  downloaded,
  file,
  heard,
  meet,
  ownOnly,
  relayOnly,
  save,
  say,
  sayAll,
  showCode,
  typeCode,
} from './people.mjs'
import { openServer, stranger } from './stranger.mjs'

export async function pageReturnChecks() {
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

  for (const shows of ['page', 'terminal']) {
    await check(`page: it and a terminal save each other, whose code the ${shows} shows, and need none then`, async (scope) => {
      const { url } = await scope.server()
      const env = { ...process.env, PEERSOX_DEVICES: join(scope.directory(), 'devices') }
      const run = (who, ...args) => scope.spawn(who, [args[0], '--json', ...args.slice(1)], { env })
      const a = await scope.page(url)
      let pairing
      if (shows === 'page') {
        pairing = run('pair', 'pair', '--server', url, '--save', 'browser', await showCode(a))
      } else {
        pairing = run('pair', 'pair', '--server', url, '--save', 'browser')
        await typeCode(a, await scope.code(pairing))
        await a.getByText('waits for you to save it').waitFor()
      }
      await save(a, 'Terminal')
      equal(await pairing.exit, 0, 'exit code of pair')

      // Another page of the same browser, as on the next day.
      const context = a.context()
      await a.close()
      const again = await scope.page(url, {}, context)
      const sent = file(scope.directory(), 'next-day.bin', 3_000_000)
      const send = run('send', 'send', '--to', 'browser', sent.path)
      const download = again.waitForEvent('download')
      await again.getByRole('button', { name: 'Accept' }).click()
      equal(await downloaded(await download), sent.hash, 'the hash')
      equal(await send.exit, 0, 'exit code of send')
    })
  }

  await check('page: a program that does not save is not saved', async (scope) => {
    const { url } = await openServer(scope)
    const a = await scope.page(url)
    // One that does not say which command it runs.
    await stranger(scope, url, await showCode(a), { name: 'peersox/0.1.0' })
    await connected(a)
    await a.locator('#device-name').fill('Nobody')
    await a.locator('#save-device').click()
    await a.getByText('Not saved, because').waitFor()
    equal(await a.evaluate(() => Object.keys(localStorage).filter((it) => it.includes('pairings')).join()), '', 'what is kept')
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

  await check('page: two pages in the midst of a talk outlive kill -9 of the server, and lose nothing', async (scope) => {
    const state = join(scope.directory(), 'state')
    const first = await scope.server(['--state', state])
    const { a, b } = await meet(scope, first.url, {}, relayOnly)
    const said = (from, to) => Array.from({ length: to - from }, (_, at) => `line ${from + at}`)
    const both = (from, to) => Promise.all([a, b].map((page) => sayAll(page, said(from, to))))
    await both(0, 40)
    await Promise.all([both(40, 120), first.child.stop('SIGKILL')])
    await Promise.all([a, b].map((page) => page.getByText('The server cannot be reached').waitFor()))
    await both(120, 150)
    const again = performance.now()
    await scope.server(['--state', state], new URL(first.url).host)
    await Promise.all([heard(a, 'line 149'), heard(b, 'line 149')])
    const took = Math.round(performance.now() - again)
    await both(150, 160)
    for (const page of [a, b]) {
      await heard(page, 'line 159')
      const lines = await page.locator('.line.theirs .bubble').allInnerTexts()
      equal(lines.join('\n'), said(0, 160).join('\n'), 'what was heard')
    }
    return `everything heard ${took} ms after the restart`
  })
}
