// The examples of the npm package, by what a person does in them, and the JavaScript that the READMEs show.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { equal } from './embed.mjs'
import { check, root, serveFolders, sha256 } from './harness.mjs'

export async function exampleChecks() {
  await check('example: a chat', async (scope) => {
    const { a, b } = await meet(scope, 'chat')
    for (const [from, to, line] of [
      [a, b, 'grüß dich'],
      [b, a, '<b>PING</b>'],
    ]) {
      await from.fill('#say input', line)
      await from.press('#say input', 'Enter')
      await to.waitForFunction((line) => document.querySelector('.theirs:last-child')?.textContent === line, line)
    }
    await a.click('#leave')
    for (const page of [a, b]) {
      await page.waitForFunction(() => document.querySelector('#state').textContent.startsWith('It is over'))
      equal(await page.isVisible('#say'), false, 'whether anything can be said')
      equal(page.problems.join('\n'), '', 'errors in the console')
    }
  })

  await check('example: files, both ways, with progress', async (scope) => {
    const { a, b } = await meet(scope, 'files')
    for (const [from, to, name, bytes] of [
      [a, b, 'large.bin', Buffer.alloc(5_000_000, 'some bytes, ')],
      [b, a, 'empty.txt', Buffer.alloc(0)],
    ]) {
      await to.evaluate(watchProgress)
      await from.setInputFiles('#choose input', { name, mimeType: 'application/octet-stream', buffer: bytes })
      const link = await to.waitForSelector(`a[download="${name}"]`)
      const got = await link.evaluate(async (link) => {
        const answer = await fetch(link.href)
        return [...new Uint8Array(await crypto.subtle.digest('SHA-256', await answer.arrayBuffer()))]
      })
      equal(Buffer.from(got).toString('hex'), sha256(bytes), name)
      await from.getByText(`${name} sent`).waitFor()
      await to.getByText(`${name} received`).waitFor()
      equal(await to.evaluate(() => complete), true, `whether the bar of ${name} was full`)
    }
    for (const page of [a, b]) equal(page.problems.join('\n'), '', 'errors in the console')
  })

  await check('example: a cursor by datagrams', async (scope) => {
    const { a, b } = await meet(scope, 'cursor')
    for (const [from, to] of [
      [a, b],
      [b, a],
    ]) {
      const box = await (await from.waitForSelector('#field')).boundingBox()
      const at = (part) => [box.x + box.width * part, box.y + box.height * part]
      // A datagram may be lost: the pointer moves until the other side sees it near the place that it moves around.
      const seen = to.waitForFunction(() => Math.abs(parseFloat(document.querySelector('#theirs').style.left) - 25) < 2)
      let done = false
      void seen.finally(() => (done = true)).catch(() => {})
      for (let step = 0; !done; step++) await from.mouse.move(...at(step % 2 ? 0.25 : 0.26))
      await seen
      equal(await to.isVisible('#theirs'), true, 'whether the cursor is seen')
    }
    for (const page of [a, b]) equal(page.problems.join('\n'), '', 'errors in the console')
  })

  for (const path of ['README.md', 'client-wasm/js/README.md']) {
    await check(`example: the first JavaScript of ${path}`, async (scope) => {
      const shown = readFileSync(join(root, path), 'utf8').match(/```js\n(.*?)```/s)[1]
      const site = await theSite()
      const server = await scope.server(['--allow-origin', site])
      const run = async (source) => {
        const page = await scope.page(`${site}/client-wasm/js/examples/chat/index.html`)
        await page.evaluate((source) => {
          const script = document.createElement('script')
          script.type = 'module'
          script.textContent = source
          document.body.append(script)
        }, source.replace(/https:\/\/\w+\.\w+/, server.url).replace(/^(import .*)$/m, '$1\nglobalThis.said = []'))
        return page
      }
      const keep = 'peersox.onString = (text) => said.push(text)'
      const heard = shown.replace(/^peersox\.onString = .*$/m, keep)
      if (!heard.includes(keep)) throw new Error('it takes no text')
      // The two sides differ in one line, which the snippet has as a comment.
      const [makes, joins] = [/^const { code } = await peersox\.initPairing\(\).*$/m, /^\/\/.*await peersox\.pair\(.*\).*$/m]
      if (!makes.test(heard) || !joins.test(heard)) throw new Error('it does not say how the two sides meet')
      const here = await run(heard.replace(makes, '$&\nglobalThis.code = code'))
      const code = await (await here.waitForFunction(() => globalThis.code)).jsonValue()
      const there = await run(heard.replace(makes, '').replace(joins, `await peersox.pair('${code}')`))
      for (const page of [here, there]) {
        await page.waitForFunction(() => said.includes('hello'))
        equal(page.problems.join('\n'), '', 'errors in the console')
      }
    })
  }
}

let site
/** The repository as its examples find it: beside them is what `make web` builds. */
function theSite() {
  site ??= serveFolders({ 'client-wasm': join(root, 'client-wasm'), target: join(root, 'target') })
  return site
}

/** Two pages of an example that have paired as two people do. */
async function meet(scope, name) {
  const site = await theSite()
  const server = await scope.server(['--allow-origin', site])
  const url = `${site}/client-wasm/js/examples/${name}/index.html?server=${encodeURIComponent(server.url)}`
  const [a, b] = [await scope.page(url), await scope.page(url)]
  await a.click('#show')
  const state = await a.waitForFunction(() => document.querySelector('#state').textContent.match(/: ([0-9]+-[a-z-]+)$/))
  await b.fill('#join input', (await state.jsonValue())[1])
  await b.press('#join input', 'Enter')
  const phrase = async (page) => {
    const found = await page.waitForFunction(() => document.querySelector('#state').textContent.match(/both of you see: (.+)/i))
    return (await found.jsonValue())[1]
  }
  equal(await phrase(a), await phrase(b), 'the phrase')
  return { a, b }
}

/** Notes whether a bar is full before it goes. */
function watchProgress() {
  globalThis.complete = false
  new MutationObserver((changes) => {
    for (const { target, removedNodes } of changes) {
      for (const bar of [target, ...removedNodes]) {
        if (bar.tagName === 'PROGRESS' && bar.value === bar.max) globalThis.complete = true
      }
    }
  }).observe(document.querySelector('#transfers'), { childList: true, subtree: true, attributes: true })
}
