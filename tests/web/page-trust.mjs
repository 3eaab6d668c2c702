// The page towards links that nobody meant, storage that holds nonsense, and peers that mean no good.

import { equal } from './embed.mjs'
import { check } from './harness.mjs'
import { agree, connected, file, heard, meet, ownOnly, save, say, showCode } from './people.mjs'
import { openServer, stranger } from './stranger.mjs'

export async function pageTrustChecks() {
  await check('page: a link asks before it pairs, and what only opens it leaves the code to people', async (scope) => {
    const { url } = await scope.server()
    const sent = file(scope.directory(), 'sent.bin', 100_000)
    const send = scope.spawn('send', ['send', '--json', '--server', url, sent.path])
    const code = await scope.code(send)
    const scanner = await scope.page(`${url}/#${code}`)
    await scanner.getByText('Connect to the device that shows this code?').waitFor()
    equal(await scanner.locator('#code').inputValue(), code, 'what stands in the field')
    await scanner.waitForLoadState('networkidle')
    equal(scanner.requests.filter((it) => /Join|Session|relay/.test(it)).join(), '', 'what was asked of the server')
    ownOnly(url, scanner)
    await scanner.close()

    const receive = scope.spawn('receive', ['receive', '--json', '--server', url, '-y', '-o', scope.directory(), code])
    equal(await receive.exit, 0, 'exit code of receive')
    equal(await send.exit, 0, 'exit code of send')
  })

  await check('page: a link that is followed while the page is open asks, too', async (scope) => {
    const { url } = await scope.server()
    const [a, b] = [await scope.page(url), await scope.page(url)]
    const code = await showCode(a)
    await b.evaluate((code) => void (location.hash = code.toUpperCase().replaceAll('-', ' ')), code)
    await agree(b)
    await Promise.all([connected(a), connected(b)])
    equal(await b.evaluate(() => location.hash), '', 'the fragment')
  })

  await check('page: a stranger’s name is a claim, not the title of the page', async (scope) => {
    const { url } = await openServer(scope)
    const a = await scope.page(url)
    await stranger(scope, url, await showCode(a), { name: 'Your bank\n\u202e gpj.exe' })
    await connected(a)
    equal(await a.title(), 'Conversation · PeerSox', 'the title')
    equal(await a.locator('.talk h1').innerText(), '“Your bank gpj.exe”', 'the heading')
    await a.getByText('the name it gives itself').waitFor()
    await save(a, 'Somebody')
    equal(await a.title(), 'Somebody · PeerSox', 'the title of a device that a person has named')
    equal(await a.getByText('the name it gives itself').isVisible(), false, 'whether it is still marked')
  })

  await check('page: a link without a code brings the first view with a hint, and saved devices', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await save(a, 'Tablet')
    await save(b, 'Laptop')
    const context = b.context()
    await b.close()
    const fragments = ['%', '%E0%A4%A', 'no-code', '<img src=x>', '0'.repeat(100_000), `123456-${'a-'.repeat(5_000)}`]
    for (const fragment of fragments) {
      const page = await scope.page(`${url}/#${fragment}`, {}, context)
      await page.getByText('The link is damaged').waitFor()
      await page.locator('.device-row[data-state=on]').getByText('Laptop').waitFor()
      equal(await page.getByText('The link is damaged').isVisible(), true, 'whether the hint stays when the device is there')
      equal(await page.evaluate(() => location.hash), '', 'the fragment')
      equal(page.problems.join('\n'), '', `errors with #${fragment.slice(0, 20)}`)
      await page.close()
    }
  })

  await check('page: nonsense in the browser’s storage hides nothing else', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await save(a, 'Tablet')
    await save(b, 'Laptop')
    await b.evaluate(async () => {
      const key = Object.keys(localStorage).find((it) => it.startsWith('peersox.pairings'))
      const [good] = JSON.parse(localStorage.getItem(key))
      const bad = [null, 7, { ...good, id: 'x' }, { ...good, id: '0'.repeat(32), secret: '%%%' }, { ...good, id: '1'.repeat(32), name: {} }, { ...good, id: '2'.repeat(32), server: undefined }]
      localStorage.setItem(key, JSON.stringify([...bad, good]))
      localStorage.setItem('peersox.settings', JSON.stringify({ name: 'x'.repeat(100_000), relayOnly: 'yes' }))
      sessionStorage.setItem('peersox.tab', JSON.stringify({ ...good, id: 5 }))
      const received = await (await navigator.storage.getDirectory()).getDirectoryHandle('received', { create: true })
      await received.getFileHandle('a file where folders are', { create: true })
      for (const text of ['', 'null', '{"at":1,"from":"x","files":[{"index":0,"path":[],"size":1,"saved":false},7]}']) {
        const folder = await received.getDirectoryHandle(`folder ${text.length}`, { create: true })
        const writable = await (await folder.getFileHandle('about.json', { create: true })).createWritable()
        await writable.write(text)
        await writable.close()
      }
    })
    const context = b.context()
    await b.close()
    const again = await scope.page(url, {}, context)
    await connected(again)
    await say(again, 'All is well')
    await heard(a, 'All is well')
    equal(again.problems.join('\n'), '', 'errors')
    await again.getByRole('button', { name: 'All devices' }).click()
    equal(await again.locator('.device-row').count(), 1, 'devices')
    equal(await again.locator('.kept').count(), 0, 'files that were received')
  })

  await check('page: consent holds for the offer that was shown, and not for its name', async (scope) => {
    const { url } = await openServer(scope)
    const a = await scope.page(url)
    const b = await stranger(scope, url, await showCode(a))
    await connected(a)
    const card = (at) => a.locator('.transfer.theirs').nth(at)
    const accepted = async (at, files) => {
      const channel = await b.evaluate((files) => offer(1, files), files)
      await card(at).waitFor()
      return channel
    }
    const breakOff = async (channel, at) => {
      await b.evaluate((channel) => channels[channel].reset(), channel)
      await a.locator('.transfer[data-state=failed]').nth(at).waitFor()
    }
    const harmless = [['photo.jpg', 1_000_000], ['a.txt', 1], ['b.txt', 1], ['c.txt', 1], ['d.txt', 1], ['e.txt', 1]]
    const first = await accepted(0, harmless)
    await card(0).getByRole('button', { name: 'Accept' }).click()
    equal(await b.evaluate((at) => answer(at), first), 2, 'the first answer')
    await breakOff(first, 0)

    // The same offer goes on by itself.
    const again = await accepted(1, harmless)
    equal(await b.evaluate((at) => answer(at), again), 2, 'the second answer')
    await breakOff(again, 1)

    // Another one under the same id is asked about, whatever part of it differs.
    const others = [
      [...harmless.slice(0, 5), ['.bash_profile', 1]],
      [['photo.jpg', 1e12], ...harmless.slice(1)],
      [...harmless, ['setup.exe', 5]],
    ]
    for (const [at, files] of others.entries()) {
      await accepted(2 + at, files)
      await card(2 + at).getByRole('button', { name: 'Decline' }).waitFor()
    }
    await card(2).getByText('Hidden: .bash_profile').waitFor()
    await card(4).getByText('Can run as a program: setup.exe').waitFor()
    for (const name of ['photo.jpg', 'a.txt', 'b.txt', 'c.txt', 'd.txt']) await card(4).getByText(name).first().waitFor()

    // What a person has stopped is asked about again, too.
    const stopped = await accepted(5, harmless)
    equal(await b.evaluate((at) => answer(at), stopped), 2, 'the answer to the first offer, once more')
    await card(5).getByRole('button', { name: 'Cancel' }).click()
    await a.locator('.transfer[data-state=cancelled]').waitFor()
    await accepted(6, harmless)
    await card(6).getByRole('button', { name: 'Accept' }).waitFor()
  })

  await check('page: what no file can be called, or measure, is not asked about', async (scope) => {
    const { url } = await openServer(scope)
    const a = await scope.page(url)
    const b = await stranger(scope, url, await showCode(a))
    await connected(a)
    const huge = 2n ** 63n
    const offers = [
      [['../x', 1]],
      [['a/../../x', 1]],
      [['/etc/x', 1]],
      [['./x', 1]],
      [['', 1]],
      [['a\u0000b', 1]],
      [[Array(65).fill('d').join('/'), 1]],
      [['huge', huge], ['huger', huge]],
      [['twice', 1], ['twice', 1]],
      [['file', 1], ['file/in-it', 1]],
      [],
    ]
    for (const [at, files] of offers.entries()) {
      const answered = b.evaluate(async ([at, files]) => answer(await offer(at, files)), [at, files])
      const kind = await Promise.race([answered, a.locator('.transfer[data-state=offered]').first().waitFor()])
      if (kind !== 0 && kind !== 3 && kind !== 8) throw new Error(`offer ${at} was not refused`)
    }
    const asked = a.locator('.transfer[data-state=offered]')
    await b.evaluate((size) => offer(98, [['huge', size]]), 2n * huge - 1n)
    await asked.getByText('huge').first().waitFor()
    equal(await asked.getByRole('button', { name: 'Accept' }).isEnabled(), false, 'whether 16 EiB can be accepted')
    await asked.getByRole('button', { name: 'Decline' }).click()
    await b.evaluate(() => offer(99, [['photo.jpg', 1]]))
    await asked.getByText('photo.jpg').first().waitFor()
    equal(a.problems.join('\n'), '', 'errors of the page')
  })

  await check('page: a sender that stalls is left at one click, and leaves nothing to save', async (scope) => {
    const { url } = await openServer(scope)
    const a = await scope.page(url)
    const b = await stranger(scope, url, await showCode(a))
    await connected(a)
    for (const [at, pieces] of [[], ['half'], ['half', ' of it'], ['the whole.']].entries()) {
      const channel = await b.evaluate((at) => offer(at, [[`file-${at}.txt`, 10]]), at)
      const card = a.locator('.transfer.theirs').nth(at)
      await card.getByRole('button', { name: 'Accept' }).click()
      equal(await b.evaluate((at) => answer(at), channel), 2, 'the answer')
      let offset = 0
      for (const piece of pieces) {
        await b.evaluate(([at, offset, piece]) => chunk(at, offset, piece), [channel, offset, piece])
        offset += piece.length
      }
      await card.getByRole('button', { name: 'Cancel' }).click()
      await a.locator('.transfer[data-state=cancelled]').nth(at).waitFor()
      equal(await card.getByRole('button', { name: 'Save' }).count(), 0, 'what can be saved')
      equal(await b.evaluate((at) => answer(at), channel), 8, 'what the sender is told')
    }
  })

  await check('page: a peer decides neither how much is kept nor how much is asked', async (scope) => {
    const { url } = await openServer(scope)
    const a = await scope.page(url)
    const b = await stranger(scope, url, await showCode(a))
    await connected(a)
    // 160 MiB of binary messages, one long text.
    await b.evaluate(async () => {
      for (let at = 0; at < 40; at++) await client.send(new Uint8Array(4 << 20))
      await client.send('long '.repeat(400_000))
      await client.send('the last one')
    })
    await heard(a, 'the last one')
    const kept = await a.locator('.bubble.binary').count()
    if (kept > 16) throw new Error(`${kept} messages of 4 MiB are kept`)
    await a.getByText('Save the whole text, 2,000,000 characters').waitFor()
    const long = (await a.locator('.line.theirs .bubble').nth(-2).innerText()).length
    if (long > 11_000) throw new Error(`${long} characters are shown`)
    // Twenty offers: no more are asked about than a person can answer.
    await b.evaluate(async () => {
      for (let at = 0; at < 20; at++) await offer(at, [[`file-${at}`, 1]])
    })
    await a.getByText('More files were offered').first().waitFor()
    equal(await b.evaluate(() => answer(19)), 3, 'the answer to the last offer')
    equal(await a.locator('.transfer[data-state=offered]').count(), 8, 'questions')
    return `${kept} of 40 kept`
  })

  await check('page: addresses in a message can be followed, and only those of the web', async (scope) => {
    const { url } = await scope.server()
    const { a, b } = await meet(scope, url)
    await say(a, 'see https://example.org/a_(b)?c=d. and (http://127.0.0.1:1/x), not javascript:alert(1) or data:text/html,x')
    await heard(b, 'see https')
    const links = await b.locator('.line.theirs a').evaluateAll((all) => all.map((it) => `${it.getAttribute('href')} ${it.rel} ${it.target}`))
    equal(links.join('\n'), 'https://example.org/a_(b)?c=d noopener noreferrer _blank\nhttp://127.0.0.1:1/x noopener noreferrer _blank', 'links')
  })
}
