// The page where control and relays run apart.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { equal } from './embed.mjs'
import { check, known, legs, quietPort } from './harness.mjs'
import { heard, meet, relayOnly, say } from './people.mjs'

export async function apartChecks() {
  await check('page: where relays run apart, two pages talk over one, and over the other when it dies', async (scope) => {
    const token = join(scope.directory(), 'token')
    writeFileSync(token, `${'5f'.repeat(32)}\n`, { mode: 0o600 })
    const at = async () => `127.0.0.1:${await quietPort()}`
    const shared = ['--control-token-file', token]
    const place = await at()
    const url = `http://${place}`
    await scope.server(['--role', 'control', '--public-url', url, ...shared], place)
    const relays = []
    for (const name of ['one', 'two']) {
      const address = await at()
      const role = ['--role', 'relay', '--control', url, '--relay-name', name]
      const { child } = await scope.server([...role, '--public-url', `http://${address}`, ...shared], address)
      relays.push({ address, child })
    }
    // The page may connect to the relays that control knows when the page is loaded.
    const addresses = relays.map((it) => it.address)
    await known([place], addresses)
    const { a, b } = await meet(scope, url, {}, relayOnly)
    await say(a, 'before')
    await heard(b, 'before')
    const counts = await Promise.all(addresses.map(legs))
    equal(counts.toSorted().join(), '0,2', 'where the legs are')
    const [dies, lives] = counts[0] ? relays : relays.toReversed()
    await dies.child.stop('SIGKILL')
    await say(b, 'meanwhile')
    await heard(a, 'meanwhile')
    await say(a, 'after')
    await heard(b, 'after')
    equal(await legs(lives.address), 2, 'legs at the other relay')
  })
}
