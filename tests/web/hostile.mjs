// A server that lies, against the npm package and the page. tests/e2e/hostile.rs leads it against the command line.

import { dirname, join } from 'node:path'
import { begin, equal, theSite } from './embed.mjs'
import { binary, check } from './harness.mjs'

/** After how many messages of its guess it lies, and how; tests/examples/liar.rs knows the words. */
const TALES = [
  ['says=2', 'close=4008'],
  ['says=2', 'close=4001'],
  ['says=1', 'close=4002'],
  ['says=1', 'notices', 'close=4004'],
  ['says=2', 'notices', 'vanish'],
  ['says=1', 'vanish'],
]

export async function hostileChecks() {
  await check('embedded: a server that lies gets three guesses of a page, whatever it says', async (scope) => {
    const site = await theSite()
    await each(async (words) => {
      const liar = await start(scope, words)
      const page = await liar.opens(`${site}/pages/api.html`)
      await begin(page, site, { webrtc: 'off', patienceMs: 2_000 })
      const refused = await page.evaluate(async () => {
        client.on('error', () => {})
        for (let at = 0; at < 8; at++) {
          const over = new Promise((resolve) => client.once('closed', resolve))
          try {
            await client.initPairing()
          } catch (error) {
            return error.code
          }
          await over
        }
        return 'nothing'
      })
      equal(refused, 'rate-limited', `what refused another code after ${words}`)
      equal(await liar.counts(), '3 codes, 3 guesses', `what the server got by ${words}`)
    })
  })

  await check('page: a server that lies gets three guesses, however often a person tries again', async (scope) => {
    const { url } = await scope.server()
    await each(async (words) => {
      const liar = await start(scope, words)
      const page = await liar.opens(url)
      await page.locator('#show-code').click()
      const retry = page.getByRole('button', { name: 'Try again' })
      for (let at = 0; at < 8; at++) {
        await page.locator('.failure').waitFor()
        if (!(await retry.isVisible())) break
        await retry.click()
      }
      await page.locator('#show-code').click()
      await page.getByText('Three codes were used up').waitFor()
      equal(await liar.counts(), '3 codes, 3 guesses', `what the server got by ${words}`)
    })
  })
}

const each = (act) => Promise.all(TALES.map(act))

/** Starts the server. The page that it opens is served by another one, and makes all its calls to this one. */
async function start(scope, words) {
  const child = scope.spawn(`liar ${words}`, words, { program: join(dirname(binary), 'examples/liar') })
  const [url] = await child.printed(/http:\S+/)
  return {
    async opens(address) {
      const page = await scope.page('about:blank', { bypassCSP: true })
      await page.route('**/peersox.v1.PairingService/*', async (route) => {
        const response = await route.fetch({ url: url + new URL(route.request().url()).pathname })
        await route.fulfill({ response })
      })
      await page.goto(address)
      return page
    },
    async counts() {
      child.stdin.write('\n')
      return (await child.printed(/\d+ codes, \d+ guesses/))[0]
    },
  }
}
