// What an embedder's page is told when it cannot reach its server, and what does not disturb it.

import { begin, equal, exchange, folders, pair, theSite } from './embed.mjs'
import { check, serveFolders } from './harness.mjs'

export async function apiFaultChecks() {
  await check('embedded: a policy of the page that forbids the relay is named at once', async (scope) => {
    const { page, url } = await withPolicy(scope, (server) => `connect-src 'self' ${server}`)
    const { code, message, transient } = await page.evaluate(attempt)
    equal(code, 'unreachable', 'the error')
    equal(transient, false, 'whether trying again is of use')
    contains(message, 'Content-Security-Policy', `connect-src has to list ${url.replace('http', 'ws')}`)
  })

  await check('embedded: a policy of the page that forbids the server is named', async (scope) => {
    const { page, url } = await withPolicy(scope, () => "connect-src 'self'")
    const { code, message } = await page.evaluate(attempt)
    equal(code, 'unreachable', 'the error')
    contains(message, 'Content-Security-Policy', `connect-src has to list ${url}`)
  })

  await check('embedded: a WebSocket that an extension forbids is told with its words, and at once', async (scope) => {
    const { page } = await bare(scope)
    await page.evaluate(() => {
      globalThis.WebSocket = class {
        constructor() {
          throw new DOMException('blocked by a rule', 'SecurityError')
        }
      }
    })
    const { code, message } = await page.evaluate(attempt)
    equal(code, 'unreachable', 'the error')
    contains(message, 'blocked by a rule')
  })

  await check('embedded: a server that does not allow the origin is likely to be it, and the option is named', async (scope) => {
    const site = await theSite()
    const server = await scope.server()
    const page = await scope.page(`${site}/pages/api.html`)
    await begin(page, server.url, {})
    const { code, message } = await page.evaluate(attempt)
    equal(code, 'unreachable', 'the error')
    contains(message, `--allow-origin ${site}`)
  })

  for (const [name, answer] of [
    ['a page of HTML', { status: 200, contentType: 'text/html', body: '<h1>Log in</h1>' }],
    // To where a browser refuses to go, at once: while a name is looked for, the old ticket brings the leg back.
    ['a redirection', { status: 302, headers: { location: 'http://127.0.0.1:9/' } }],
    ['an error of a proxy', { status: 502, contentType: 'text/html', body: 'bad gateway' }],
    ['nothing of a kind', { status: 200, body: '' }],
  ]) {
    await check(`embedded: a network that answers with ${name} does not end a pairing that is in use`, async (scope) => {
      const { a, b } = await pair(scope, { a: { webrtc: 'off' }, b: { webrtc: 'off' } })
      const answered = intercept(a, 'OpenSession', answer)
      const causes = a.evaluate(() => {
        globalThis.ended = null
        client.on('closed', ({ reason }) => (ended = reason))
        return new Promise((resolve) => client.on('server.closed', ({ cause, reason }) => cause === 'control' && resolve(reason)))
      })
      await a.evaluate(() => sockets.at(-1).close())
      await answered
      const reason = await causes
      if (answer.contentType && answer.status === 200) contains(reason, 'text/html')
      await a.unroute('**/OpenSession')
      await exchange(a, b)
      await exchange(b, a)
      equal(await a.evaluate(() => ended), null, 'the end')
    })
  }

  for (const method of ['CreatePairing', 'JoinPairing', 'OpenSession', 'GetPairing', 'DeletePairing']) {
    await check(`embedded: a login page instead of ${method} is unreachable, and named`, async (scope) => {
      const { page } = await bare(scope)
      const made = await page.evaluate(() => client.createPairing())
      void intercept(page, method, { status: 200, contentType: 'text/html', body: '<h1>Log in</h1>' })
      const said = await page.evaluate(
        async ([method, made]) => {
          const calls = {
            CreatePairing: () => client.initPairing(),
            JoinPairing: () => client.pair('123456-tulip-ember'),
            OpenSession: () => client.connect(made),
            GetPairing: () => client.validate(made),
            DeletePairing: () => client.deletePairing(made),
          }
          return calls[method]().then(() => 'nothing', ({ code, transient, message }) => `${code} ${transient} ${message}`)
        },
        [method, made],
      )
      contains(said, 'unreachable true', 'answered with text/html')
    })
  }

  await check('embedded: a module that is answered with a page of HTML is named', async (scope) => {
    const site = await theSite()
    const page = await scope.page('about:blank')
    await page.route('**/peersox.wasm', (route) => route.fulfill({ status: 200, contentType: 'text/html', body: '<h1>Home</h1>' }))
    await page.goto(`${site}/pages/api.html?entry=slim`)
    await page.waitForFunction(() => globalThis.loaded)
    const said = await page.evaluate(() => new peersox.PeerSoxClient({ url: 'http://localhost:1' }).ready.catch(({ code, message }) => `${code} ${message}`))
    contains(said, 'unsupported', 'peersox.wasm was answered with a page of HTML')
  })
}

/** Asks for a code and waits for the server; gives the error. Runs in a page. */
async function attempt() {
  try {
    await client.connect(await client.createPairing())
  } catch ({ code, message, transient }) {
    return { code, message, transient }
  }
  return {}
}

/** A page with a client, at a server that allows it. */
async function bare(scope, site = theSite()) {
  const server = await scope.server(['--allow-origin', await site])
  const page = await scope.page(`${await site}/pages/api.html`)
  await begin(page, server.url, {})
  return { page, url: server.url }
}

/** The same whose page has a policy, which names its server. */
async function withPolicy(scope, policy) {
  let permitted = ''
  const site = await serveFolders(folders, () => ({ 'content-security-policy': policy(permitted) }))
  const server = await scope.server(['--allow-origin', site])
  permitted = server.url
  const page = await scope.page(`${site}/pages/api.html`)
  await begin(page, server.url, {})
  return { page, url: server.url }
}

/** Answers calls of a method in place of the server; resolves at the first. */
function intercept(page, method, answer) {
  const headers = { 'access-control-allow-origin': '*', ...(answer.headers ?? {}) }
  return new Promise((resolve) => {
    void page.route(`**/peersox.v1.PairingService/${method}`, async (route) => {
      if (route.request().method() !== 'POST') return route.continue()
      await route.fulfill({ ...answer, headers: { ...headers, ...(answer.contentType ? { 'content-type': answer.contentType } : {}) } })
      resolve()
    })
  })
}

function contains(text, ...parts) {
  for (const part of parts) if (!text?.includes(part)) throw new Error(`${JSON.stringify(text)} does not say ${JSON.stringify(part)}`)
}
