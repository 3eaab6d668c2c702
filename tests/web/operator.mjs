// The page that a server shows its operator where it serves metrics.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { equal } from './embed.mjs'
import { check, quietPort } from './harness.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export async function operatorChecks() {
  await check('operator: the page of metrics plots what the server carries', async (scope) => {
    const at = `127.0.0.1:${await quietPort()}`
    const { url } = await scope.server(['--metrics-listen', at])
    const page = await scope.page(`http://${at}/`)
    await page.getByText('role all').waitFor()
    await page.getByRole('heading', { name: 'Sessions' }).waitFor()
    const waiting = scope.spawn('peer', ['connect', '--json', '--transport', 'ws', '--server', url])
    await scope.code(waiting)
    const plot = (title) => page.locator('figure', { has: page.getByRole('heading', { name: title }) })
    await plot('Sessions').getByText('waiting: 1').waitFor()
    await plot('Legs by transport').getByText('websocket: 1').waitFor()
    await plot('Memory of the process').locator('polyline').waitFor()
    equal(await plot('Streams to control').count(), 0, 'plots of what is not there')
    await page.evaluate(axe)
    const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }))
    equal(violations.map((it) => it.id).join(), '', 'what axe finds')
    equal(page.problems.join(), '', 'what went wrong on the page')
    equal(page.requests.every((it) => it.startsWith(`http://${at}/`)), true, 'it asks nobody else')
  })
}
