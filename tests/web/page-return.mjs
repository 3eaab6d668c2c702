// What a page comes back to: saved devices, its own tab, a server that was away.

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { equal } from './embed.mjs'
import { binary, check } from './harness.mjs'
import { connected, heard, meet, ownOnly, relayOnly, save, say, sayAll } from './people.mjs'

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
