// The npm package: what judges of packages say, and whether others can use it.

import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { build } from 'vite'
import { equal } from './embed.mjs'
import { check, here, root, serveFolders } from './harness.mjs'

const run = promisify(execFile)
const npm = join(root, 'target/web/npm')

export async function packageChecks() {
  await check('publint has nothing to say', async () => {
    const { messages, pkg } = await publint({ pkgDir: npm, strict: true })
    equal(messages.map((it) => formatMessage(it, pkg)).join('\n'), '', 'messages')
  })

  await check('its types are right for every way of resolving them', async (scope) => {
    const directory = scope.directory()
    await run('npm', ['pack', npm, '--pack-destination', directory], { cwd: directory })
    const [archive] = readdirSync(directory)
    // An ES module only: `require` of Node before 22 cannot load it, which is meant.
    const attw = join(root, 'tests/node_modules/.bin/attw')
    await run(attw, [join(directory, archive), '--profile', 'esm-only', '--format', 'ascii', '--exclude-entrypoints', './peersox.wasm']).catch(
      (error) => {
        throw new Error(error.stdout || error.message)
      },
    )
  })

  await check('a Vite project and a bare page use it', async (scope) => {
    const project = scope.directory()
    cpSync(join(here, 'vite'), project, { recursive: true })
    const installed = join(project, 'node_modules/peersox')
    mkdirSync(installed, { recursive: true })
    cpSync(npm, installed, { recursive: true })
    for (const entry of ['peersox', 'peersox/slim']) {
      writeFileSync(join(project, 'entry.ts'), `export { PeerSoxClient } from '${entry}'\n`)
      await build({ root: project, logLevel: 'error', build: { outDir: `dist-${entry.replace('/', '-')}` } })
    }
    const site = await serveFolders({
      inlined: join(project, 'dist-peersox'),
      slim: join(project, 'dist-peersox-slim'),
      bare: join(here, 'pages'),
      npm,
    })
    const server = await scope.server(['--allow-origin', site])
    const code = async (page) => (await page.waitForFunction(() => globalThis.code)).jsonValue()
    const pages = [`${site}/inlined/`, `${site}/slim/`, `${site}/bare/seed.html`]
    for (const url of pages) {
      const page = await scope.page(`${url}?server=${encodeURIComponent(server.url)}`)
      if (!/^\d+-/.test(await code(page))) throw new Error(`no code at ${url}`)
    }
  })
}
