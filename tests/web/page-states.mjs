// What the page says is so: delivered, received, paused, finished, open elsewhere.

import { equal } from './embed.mjs'
import { check, ownNetwork } from './harness.mjs'
import { connected, done, downloaded, file, heard, meet, relayOnly, save, say, showCode, typeCode } from './people.mjs'
import { openServer, stranger } from './stranger.mjs'

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }

export async function pageStateChecks() {
  await check('page: what is said while the other page is gone arrives once it is back, in order and once', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await save(a, 'Tablet')
    await save(b, 'Laptop')
    let page = b
    const said = []
    for (let round = 0; round < 3; round++) {
      await page.close()
      // At once, before anybody can have noticed, and when it was noticed.
      said.push(`at once ${round}`)
      await say(a, said.at(-1))
      await a.getByText('Tablet is away').waitFor()
      said.push(`later ${round}`)
      await say(a, said.at(-1))
      const mine = await a.locator('.line.mine').evaluateAll((all) => all.slice(-2).map((it) => it.dataset.state))
      equal(mine.join(), 'sending,sending', 'what is said of them')
      page = await scope.page(url, {}, b.context())
      await heard(page, `later ${round}`)
      await say(page, `heard ${round}`)
      await heard(a, `heard ${round}`)
      const lines = await page.locator('.line.theirs .bubble').allInnerTexts()
      equal(lines.join('\n'), said.slice(-2).join('\n'), 'what arrived')
    }
    await a.waitForFunction((count) => document.querySelectorAll('.line.mine[data-state=delivered]').length === count, said.length)
  })

  await check('page: a reload of the other page loses no message that was under way', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url, {}, relayOnly)
    await b.reload({ waitUntil: 'commit' })
    for (const text of ['one', 'two', 'three']) await say(a, text)
    await heard(b, 'three')
    equal((await b.locator('.line.theirs .bubble').allInnerTexts()).join(), 'one,two,three', 'what arrived')
  })

  await check('page: files that are chosen while the other side is away are shown to wait, and offered when it is back', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await save(a, 'Tablet')
    await save(b, 'Laptop')
    await b.close()
    await a.getByText('Tablet is away').waitFor()
    await a.setInputFiles('#files', { name: 'later.txt', mimeType: 'text/plain', buffer: Buffer.from('later') })
    await a.locator('.banner').getByText('1 file will be offered then.').waitFor()
    const again = await scope.page(url, {}, b.context())
    await again.getByRole('button', { name: 'Accept' }).click()
    await done(a, again)
  })

  await check('page: what cannot be delivered any more says so', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    const context = b.context()
    await say(a, 'arrives')
    await a.locator('.line.mine[data-state=delivered]').waitFor()
    await context.setOffline(true)
    await b.close()
    await say(a, 'does not')
    await a.getByRole('button', { name: 'Hang up' }).click()
    await a.locator('.line.mine[data-state=lost]').getByText('not delivered').waitFor()
  })

  await check('page: what was received and not saved is there after a reload, and leaving warns', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    const directory = scope.directory()
    const sent = [file(directory, 'one.bin', 200_000), file(directory, 'two.bin', 300_000)]
    await a.setInputFiles('#files', sent.map((it) => it.path))
    await b.getByRole('button', { name: 'Accept' }).click()
    await done(a, b)
    await b.locator('.transfer-state').getByText('not saved yet').waitFor()
    await a.locator('.transfer-state').getByText('can save it').waitFor()
    const warned = []
    b.on('dialog', (dialog) => {
      warned.push(dialog.type())
      void dialog.accept()
    })
    await b.reload()
    equal(warned.join(), 'beforeunload', 'warnings')
    await connected(b)
    const card = b.locator('.talk .kept')
    for (const it of sent) {
      const saved = b.waitForEvent('download')
      await card.getByRole('button', { name: `Save ${it.name}` }).click()
      equal(await downloaded(await saved), it.hash, it.name)
    }
    await card.getByText('given to your downloads').waitFor()
    await b.reload()
    await connected(b)
    equal(await b.locator('.kept').count(), 0, 'what is kept after it was saved')
    equal(warned.length, 1, 'warnings after everything was saved')

    // A page that has nothing to do with the pairing any more shows it on the first view.
    await a.setInputFiles('#files', sent.map((it) => it.path))
    await b.getByRole('button', { name: 'Accept' }).click()
    await b.locator('.transfer-state').getByText('not saved yet').waitFor()
    const context = b.context()
    await b.close()
    const other = await scope.page(url, {}, context)
    await other.getByRole('heading', { name: 'Received, not saved yet' }).waitFor()
    const saved = other.waitForEvent('download')
    await other.locator('.kept').getByRole('button', { name: 'Save two.bin' }).click()
    equal(await downloaded(await saved), sent[1].hash, 'two.bin')
    // Deleting is asked for: one click too many costs nothing.
    const remove = other.locator('.kept').getByRole('button', { name: 'Delete' })
    await remove.click()
    await other.getByRole('button', { name: 'Keep' }).click()
    await other.locator('.kept').getByText('not saved yet').waitFor()
    await remove.click()
    await other.getByRole('button', { name: 'Remove' }).click()
    await other.locator('.kept-sets').waitFor({ state: 'hidden' })
  })

  await check('page: a second click where Accept was removes nothing', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    const six = Array.from({ length: 6 }, (_, at) => ({ name: `${at}.txt`, mimeType: 'text/plain', buffer: Buffer.from('x') }))
    await a.setInputFiles('#files', six)
    await b.getByRole('button', { name: 'Accept' }).click()
    await b.locator('.transfer-state').getByText('not saved yet').waitFor()
    const remove = b.locator('.transfer').getByRole('button', { name: 'Remove' })
    await remove.click()
    await b.keyboard.press('Escape')
    await b.locator('.transfer').getByRole('button', { name: 'Save all' }).waitFor()
    equal(await b.locator('.transfer').getByText('Removed from this browser').count(), 0, 'what was removed')
    await remove.click()
    await b.locator('dialog').getByRole('button', { name: 'Remove' }).click()
    await b.getByText('Removed from this browser').waitFor()
  })

  await check('page: a link that works on this machine only is called so', async (scope) => {
    const { url } = await scope.server([], '0.0.0.0:0')
    const at = (host) => Object.assign(new URL(url), { hostname: host }).href
    for (const [host, notes] of [['localhost', 1], ['127.0.0.1', 1], ...(ownNetwork ? [['10.99.0.1', 0]] : [])]) {
      const page = await scope.page(at(host))
      await showCode(page)
      equal(await page.locator('#only-here').count(), notes, host)
    }
  })

  await check('page: a long name moves nothing off the screen', async (scope) => {
    const { url } = await scope.server()
    const a = await scope.page(url)
    await a.locator('details.more summary').click()
    await a.locator('#own-name').fill('W'.repeat(60))
    await a.locator('#own-name').blur()
    const b = await scope.page(url, PHONE)
    await typeCode(b, await showCode(a))
    await Promise.all([connected(a), connected(b)])
    await b.locator('h1').getByText('WWWW').waitFor()
    const fits = async (what) => {
      const wide = await b.evaluate(() => [...document.querySelectorAll('body *')].filter((it) => it.getClientRects().length && it.getBoundingClientRect().right > innerWidth + 1 && !it.closest('.sr, pre')).map((it) => it.className))
      equal(wide.join(), '', what)
    }
    await fits('what of a conversation is off the screen')
    await b.setViewportSize({ width: 320, height: 640 })
    await fits('the same on a small phone')
    await b.setViewportSize({ width: 1280, height: 800 })
    await fits('the same on a desk')
    await b.setViewportSize({ width: 390, height: 844 })
    await b.locator('.side summary').click()
    await save(b, 'W'.repeat(60))
    await fits('what of a saved device is off the screen')
    await b.getByRole('button', { name: 'All devices' }).click()
    await b.locator('.device-row').waitFor()
    await fits('what of the first view is off the screen')
  })

  await check('page: nothing is wider than a small phone', async (scope) => {
    const { url } = await scope.server()
    const a = await scope.page(url)
    const b = await scope.page(url, { ...PHONE, viewport: { width: 320, height: 640 } })
    const fits = async (what) => {
      const wide = await b.evaluate(() => {
        const isCut = (it) => it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 0 && getComputedStyle(it).overflowX === 'visible'
        const isOff = (it) => it.getBoundingClientRect().right > 321
        const seen = [...document.querySelectorAll('body *')].filter((it) => it.getClientRects().length && !it.closest('.sr, pre, svg'))
        return [innerWidth, ...seen.filter((it) => isOff(it) || (isCut(it) && getComputedStyle(it).display !== 'inline')).map((it) => `${it.tagName}.${it.className}`)]
      })
      equal(wide.join(), '320', what)
    }
    await fits('the first view')
    await typeCode(a, await showCode(b))
    await Promise.all([connected(a), connected(b)])
    await fits('a conversation')
    await say(a, 'x'.repeat(300))
    const names = ['a name that is quite long and goes on for some more words.jpeg', `${'w'.repeat(200)}.txt`, 'b.txt', 'c.txt', 'd.txt', 'e.txt']
    await a.setInputFiles('#files', names.map((name) => ({ name, mimeType: 'text/plain', buffer: Buffer.alloc(500_000) })))
    await b.getByRole('button', { name: 'Accept' }).waitFor()
    await fits('a question')
    await b.getByRole('button', { name: 'Accept' }).click()
    await b.locator('.transfer-state').getByText('not saved yet').waitFor()
    await fits('files that were received')
    await b.locator('.side summary').click()
    await fits('the connection')
    await save(b, 'Laptop')
    await fits('a saved device')
    await b.getByRole('button', { name: 'Verify' }).click()
    await fits('the phrase')
    await b.keyboard.press('Escape')
    await a.close()
    await b.getByText('Laptop is away').waitFor()
    await fits('one that is away')
  })

  await check('page: a talk that the other side ends in good order is finished, and no alarm', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await say(a, 'see you')
    await heard(b, 'see you')
    await a.locator('.line.mine[data-state=delivered]').waitFor()
    await b.getByRole('button', { name: 'Hang up' }).click()
    await a.locator('.banner').getByText('The other side has hung up.').waitFor()
    equal(await a.locator('.banner').getAttribute('data-mood'), 'calm', 'the mood')
    equal(await a.locator('.chip').innerText(), 'Finished', 'the state')
  })

  await check('page: Connect can be pressed while there is something to connect by', async (scope) => {
    const { url } = await scope.server()
    const [a, b] = [await scope.page(url), await scope.page(url)]
    const connect = a.getByRole('button', { name: 'Connect', exact: true })
    const looks = async (enabled, primary, what) => {
      equal(await connect.isEnabled(), enabled, `whether it can be pressed, ${what}`)
      equal(await connect.evaluate((it) => it.classList.contains('primary')), primary, `whether it is green, ${what}`)
    }
    await looks(false, false, 'at first')
    const input = a.locator('#code')
    await input.fill('481920')
    await looks(true, true, 'with digits')
    await input.fill('tulip')
    await looks(true, false, 'with a word')
    await input.press('Enter')
    await a.locator('#code-problem:not(:empty)').waitFor()
    await input.fill('')
    await looks(false, false, 'once it was emptied')
    await a.evaluate(() => void (location.hash = '123456-tulip-ember'))
    await a.getByText('Connect to the device that shows this code?').waitFor()
    await looks(true, true, 'for the code of a link')
    await typeCode(a, await showCode(b))
    await connected(a)
    await a.getByRole('button', { name: 'All devices' }).click()
    await looks(false, false, 'after it has connected')
  })

  await check('page: leaving warns while files are on their way, and the screen stays on', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await b.evaluate(() => {
      const real = navigator.wakeLock.request.bind(navigator.wakeLock)
      globalThis.locks = []
      navigator.wakeLock.request = async (kind) => {
        const lock = await real(kind)
        locks.push(lock)
        return lock
      }
    })
    const sent = file(scope.directory(), 'long.bin', 150_000_000)
    await a.setInputFiles('#files', sent.path)
    await b.getByRole('button', { name: 'Accept' }).click()
    await b.locator('.transfer.theirs').getByRole('button', { name: 'Pause' }).click()
    await b.locator('.transfer[data-state=paused]').waitFor()
    await b.waitForFunction(() => locks.length === 1 && !locks[0].released)
    for (const page of [a, b]) {
      const asked = page.waitForEvent('dialog')
      const leaving = page.close({ runBeforeUnload: true })
      const dialog = await asked
      equal(dialog.type(), 'beforeunload', 'the question')
      await dialog.dismiss()
      await leaving
    }
    // 150 MB take their time beside other checks.
    const download = b.waitForEvent('download', { timeout: 240_000 })
    await b.locator('.transfer.theirs').getByRole('button', { name: 'Resume' }).click()
    await done(a, b)
    equal(await downloaded(await download), sent.hash, 'the hash')
    await b.waitForFunction(() => locks.every((it) => it.released))
  })

  await check('page: a pause is seen on the other side, and so is giving up meanwhile', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url, {}, relayOnly)
    const sent = file(scope.directory(), 'long.bin', 150_000_000)
    await a.setInputFiles('#files', sent.path)
    await b.getByRole('button', { name: 'Accept' }).click()
    const card = (page) => page.locator('.transfer')
    for (const [pauses, sees] of [[b, a], [a, b]]) {
      await card(pauses).getByRole('button', { name: 'Pause' }).click()
      await card(pauses).getByText('Paused by you').waitFor()
      await card(sees).getByText('Paused by “').waitFor()
      equal(/left|\/s/.test(await card(sees).locator('.numbers').innerText()), false, 'whether a rate is told')
      await card(pauses).getByRole('button', { name: 'Resume' }).click()
      await card(sees).getByText(/^(Sending|Receiving) /).waitFor()
    }
    await card(b).getByRole('button', { name: 'Pause' }).click()
    await card(a).getByText('Paused by “').waitFor()
    await card(a).getByRole('button', { name: 'Cancel' }).click()
    await b.locator('.transfer[data-state=cancelled]').waitFor()
  })

  await check('page: after success with a terminal it is done, not hung up', async (scope) => {
    const { url } = await scope.server()
    const sent = file(scope.directory(), 'sent.bin', 20_000_000)
    const send = scope.spawn('send', ['send', '--json', '--server', url, sent.path])
    const a = await scope.page(url)
    await typeCode(a, await scope.code(send))
    await a.getByRole('button', { name: 'Accept' }).click()
    await a.locator('.figures').getByText('B/s').first().waitFor()
    equal(await send.exit, 0, 'exit code')
    await a.locator('.banner').getByText('Done: everything has arrived').waitFor()
    await a.getByText('The connection is over').waitFor()
    await a.locator('.figures').getByText('B/s').first().waitFor({ state: 'detached' })
    equal(await a.locator('.banner').getAttribute('data-mood'), 'calm', 'the mood')
    equal(await a.locator('.chip').innerText(), 'Finished', 'the state')
    equal(await a.getByText('hung up').count(), 0, 'alarms')
    for (const name of ['Hang up', 'Save', 'Verify']) equal(await a.getByRole('button', { name, exact: true }).count(), 0, `buttons named ${name}`)
  })

  for (const paused of ['here', 'there']) {
    await check(`page: hanging up asks while files are on their way, paused ${paused}, holds at once, and is told there`, async (scope) => {
      const { url } = await scope.server()
      const { a, b } = await meet(scope, url, {}, relayOnly)
      const sent = file(scope.directory(), 'long.bin', 150_000_000)
      await a.setInputFiles('#files', sent.path)
      await b.getByRole('button', { name: 'Accept' }).click()
      await (paused === 'here' ? a : b).locator('.transfer').getByRole('button', { name: 'Pause' }).click()
      await a.getByRole('button', { name: 'Hang up' }).click()
      await a.getByRole('button', { name: 'Stay' }).click()
      await connected(a)
      await a.getByRole('button', { name: 'Hang up' }).click()
      await a.getByRole('button', { name: 'Stop and hang up' }).click()
      const frames = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(document.querySelector('.banner').innerText))))
      const seen = await a.evaluate(frames)
      if (!seen.includes('You hung up.')) throw new Error(`two frames later the page says "${seen}"`)
      equal(await a.locator('.transfer.mine').getAttribute('data-state'), 'cancelled', 'the transfer here')
      equal(await a.getByRole('button', { name: 'Hang up' }).count(), 0, 'buttons to hang up')
      equal(await a.locator('#save-device').count(), 0, 'buttons to save the device')
      await b.locator(paused === 'here' ? '.transfer[data-state=cancelled]' : '.transfer:is([data-state=cancelled], [data-state=failed])').waitFor()
      await b.locator('.banner').getByText('The other side has hung up').waitFor()
    })
  }

  await check('page: a second tab does not take a conversation away unasked', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await save(a, 'Tablet')
    await save(b, 'Laptop')
    const second = await scope.page(url, {}, b.context())
    await second.getByText('In another tab').waitFor()
    await say(b, 'still here')
    await heard(a, 'still here')
    await second.locator('.device-row').click()
    await second.getByText('This conversation is open in another tab').waitFor()
    await second.getByRole('button', { name: 'Use it here' }).click()
    await connected(second)
    await b.getByText('This conversation is open in another tab').waitFor()
    await say(second, 'now here')
    await heard(a, 'now here')
    await say(a, 'welcome')
    await heard(second, 'welcome')
    // When the tab that has it goes, the one that is left takes it back.
    await second.close({ runBeforeUnload: true })
    await connected(b)
    await say(b, 'back again')
    await heard(a, 'back again')
  })

  await check('page: the phrase is one tap away on a phone', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url, PHONE)
    await a.getByRole('button', { name: 'Verify' }).click()
    const shown = await a.locator('dialog .phrase').innerText()
    const there = await b.locator('.side .phrase').textContent()
    equal(shown.replace(/\s/g, ''), there.replace(/\s/g, ''), 'the phrase')
    const box = await a.locator('dialog .phrase').boundingBox()
    if (box.x < 0 || box.x + box.width > 390 || box.y + box.height > 844) throw new Error(`the phrase is at ${JSON.stringify(box)}`)
    await a.getByRole('button', { name: 'They are the same' }).click()
    await a.getByRole('button', { name: 'Verified' }).waitFor()
    await b.getByRole('button', { name: 'Verify', exact: true }).waitFor()
  })

  await check('page: files are chosen first, on a phone too, and are offered whoever shows the code', async (scope) => {
    const { url } = await scope.server()
    const sent = file(scope.directory(), 'photo.jpg', 100_000)
    for (const shows of ['here', 'there']) {
      const a = await scope.page(url, PHONE)
      const box = await a.locator('#choose').boundingBox()
      if (box.y + box.height > 844 / 2) throw new Error('choosing files is not what is seen first')
      equal(await a.getByRole('button', { name: 'Show a code' }).count(), 1, 'buttons that show a code')
      await a.setInputFiles('#home-files', sent.path)
      await a.locator('.staged').getByText('photo.jpg').waitFor()
      const code = (await a.locator('#shown-code').innerText()).replace(/\s/g, '')
      const b = await scope.page(url)
      if (shows === 'here') await typeCode(b, code)
      else await typeCode(a, await showCode(b))
      const download = b.waitForEvent('download')
      await b.getByRole('button', { name: 'Accept' }).click()
      equal(await downloaded(await download), sent.hash, 'the hash')
    }
  })

  await check('page: over plain HTTP an offer that has no place cannot be accepted, and says why', async (scope) => {
    if (!ownNetwork) return { skip: 'every address is that of this machine' }
    const { url } = await openServer(scope, '10.99.0.1:0')
    const a = await scope.page(url)
    const b = await stranger(scope, url, await showCode(a))
    await connected(a)
    await b.evaluate(() => offer(1, [['film.mkv', 2e9]]))
    const accept = a.getByRole('button', { name: 'Accept' })
    await a.getByText('plain HTTP').waitFor()
    await a.getByText('--tls-cert').waitFor()
    equal(await accept.isDisabled(), true, 'whether Accept is disabled')
    // Files that fit one by one do not fit together.
    await b.evaluate(() => offer(2, [['half.bin', 300e6]]))
    await a.locator('.transfer').nth(1).getByRole('button', { name: 'Accept' }).click()
    await b.evaluate(() => offer(3, [['other-half.bin', 300e6]]))
    await a.locator('.transfer').nth(2).getByText('of which 300 MB are in use').waitFor()
    equal(await a.locator('.transfer').nth(2).getByRole('button', { name: 'Accept' }).isDisabled(), true, 'whether the third is disabled')
  })

  await check('page: a code that was used up is not replaced by itself', async (scope) => {
    const { url } = await scope.server()
    const a = await scope.page(url)
    for (let round = 0; round < 3; round++) {
      const [digits, one, other] = (round === 0 ? await showCode(a) : (await a.locator('#shown-code').innerText()).replace(/\s/g, '')).split('-')
      const b = await scope.page(url)
      await typeCode(b, `${digits}-${other}-${one === other ? 'tulip' : one}`)
      await a.locator('.offer .problem').waitFor()
      equal(await a.locator('#shown-code').count(), 0, 'codes on the screen')
      if (round < 2) await a.getByRole('button', { name: 'Try again' }).click()
      if (round < 2) await a.locator('#shown-code').waitFor()
      await b.close()
    }
    await a.locator('#show-code').click()
    await a.getByText('Three codes were used up').waitFor()
  })
}
