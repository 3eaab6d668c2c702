// Pairings that are kept: an embedder's page stores, restores and deletes them.

import { begin, equal, pair, takes } from './embed.mjs'
import { check } from './harness.mjs'

/** Kept in `localStorage`, as by default. */
const KEPT = { storage: undefined }

export async function keptChecks() {
  await check('a stored pairing outlives a reload and needs no code', async (scope) => {
    const { server, a, b } = await stored(scope)
    await b.reload()
    await begin(b, server.url, KEPT)
    const restored = await b.evaluate(async () => {
      const pairing = await client.restorePairing()
      await client.connect(pairing)
      await client.connected()
      return { code: pairing.code ?? null, name: pairing.name, phrase: client.phrase }
    })
    equal(restored.code, null, 'the code')
    equal(restored.name, 'Desk', 'the name')
    equal(restored.phrase, await a.evaluate(() => client.phrase), 'the phrase')
    const arrived = a.evaluate(() => client.receive())
    await b.evaluate(() => client.send('again'))
    equal(await arrived, 'again', 'what came')
    await Promise.all([takes(a, 'webrtc'), takes(b, 'webrtc')])
  })

  await check('a deleted pairing is refused to the other side, and not restored', async (scope) => {
    const { server, a, b } = await stored(scope)
    await b.evaluate(() => client.close())
    await a.evaluate(() => client.deletePairing())
    equal((await a.evaluate(() => client.storedPairings())).length, 0, 'pairings of the one who deleted it')

    await b.reload()
    await begin(b, server.url, KEPT)
    const told = await b.evaluate(async () => {
      const [pairing] = await client.storedPairings()
      const ended = new Promise((resolve) => client.on('closed', ({ reason }) => resolve(reason)))
      const connecting = await client.connect(pairing).then(() => 'connected', (error) => error.code)
      return { connecting, ended: await ended, restored: await client.restorePairing(), left: (await client.storedPairings()).length }
    })
    equal(JSON.stringify(told), JSON.stringify({ connecting: 'pairing-invalid', ended: 'revoked', restored: null, left: 0 }), 'the other side')
  })

  await check('a pairing that is deleted while it is in use ends on both sides', async (scope) => {
    const { a, b } = await stored(scope)
    const ends = [a, b].map((page) =>
      page.evaluate(() => new Promise((resolve) => client.on('closed', ({ reason, error }) => resolve(`${reason} ${error?.code}`)))),
    )
    await a.evaluate(() => client.deletePairing())
    equal(await ends[1], 'revoked pairing-invalid', 'the other side')
    equal(await ends[0], 'revoked pairing-invalid', 'this side')
  })
}

/** Two pages that have paired, and that have stored the pairing. */
async function stored(scope) {
  const met = await pair(scope, { a: KEPT, b: KEPT })
  for (const page of [met.a, met.b]) {
    await page.evaluate(() => client.storePairing(null, { name: 'Desk' }))
    const asked = page.requests.filter((it) => it.endsWith('/GetPairing'))
    equal(asked.length, 1, 'calls that have the server keep it')
  }
  return met
}
