// The npm package: what judges of packages say, and whether others can use it.

import { execFile } from 'node:child_process'
import { cpSync, writeFileSync } from 'node:fs'
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
    // An ES module only: `require` of Node before 22 cannot load it, which is meant.
    const modules = ['./peersox.wasm', './peersox-transfer.wasm']
    const flags = ['--profile', 'esm-only', '--format', 'ascii', '--exclude-entrypoints', ...modules]
    await tool('attw', [await packed(scope), ...flags])
  })

  await check('a Vite project uses it', async (scope) => {
    await usable(scope, async (project, out) => {
      await build({ root: project, base: './', logLevel: 'error', build: { outDir: out } })
    })
  })

  await check('a webpack project uses it, without any configuration', async (scope) => {
    await usable(scope, async (project, out) => {
      await tool('webpack', ['./main.js', '--mode', 'production', '--output-path', join(project, out)], { cwd: project })
      cpSync(join(project, 'index.html'), join(project, out, 'index.html'))
    })
  })
}

/** Builds a project with either entry of the package, and has two pages of each meet. */
async function usable(scope, bundle) {
  const project = scope.directory()
  cpSync(join(here, 'project'), project, { recursive: true })
  await install(scope, project)
  const folders = {}
  for (const [out, entry] of Object.entries({ inlined: 'peersox', slim: 'peersox/slim' })) {
    writeFileSync(join(project, 'entry.js'), `export { memorySink, PeerSoxClient } from '${entry}'\n`)
    await bundle(project, out)
    folders[out] = join(project, out)
  }
  const site = await serveFolders(folders)
  const server = await scope.server(['--allow-origin', site])
  for (const folder of Object.keys(folders)) {
    const url = `${site}/${folder}/?server=${encodeURIComponent(server.url)}`
    const initiator = await scope.page(url)
    const code = await (await initiator.waitForFunction(() => globalThis.code)).jsonValue()
    const joiner = await scope.page(`${url}&code=${code}`)
    for (const [page, other] of [[initiator, 'joiner'], [joiner, 'initiator']]) {
      await page.waitForFunction(() => received.length === 2)
      equal((await page.evaluate(() => received)).join('\n'), `from the ${other}\n${other}.txt: on paper`, `what came in ${folder}`)
      equal(page.problems.join('\n'), '', `errors in the console in ${folder}`)
    }
  }
}

/** The archive that `npm publish` would upload. */
async function packed(scope) {
  const directory = scope.directory()
  const { stdout } = await run('npm', ['pack', npm, '--pack-destination', directory], { cwd: directory })
  return join(directory, stdout.trim())
}

/** Installs that archive in a project. */
export async function install(scope, project) {
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }')
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', await packed(scope)], { cwd: project })
}

/** Runs a program from npm; what it complains of is the error. */
async function tool(name, args, options) {
  await run(join(root, 'tests/node_modules/.bin', name), args, options).catch((error) => {
    throw new Error(error.stdout || error.message)
  })
}
