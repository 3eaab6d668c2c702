// The npm package: what judges of packages say, and whether others can use it.

import { execFile } from 'node:child_process'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
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

  await check('a strict project in TypeScript compiles with its types, in whatever way it finds modules', async (scope) => {
    const project = scope.directory()
    cpSync(join(here, 'project-types'), project, { recursive: true })
    await install(scope, project)
    const strict = { noEmit: true, strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, target: 'es2022', types: [] }
    for (const compiler of Object.keys(MODULES)) {
      for (const [module, moduleResolution] of MODULES[compiler]) {
        const compilerOptions = { ...strict, lib: ['es2022', 'dom'], module, moduleResolution }
        writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['main.ts'] }))
        await run(process.execPath, [join(root, 'tests/node_modules', compiler, 'lib/tsc.js'), '--project', project]).catch((error) => {
          throw new Error(`${compiler}, ${moduleResolution}: ${error.stdout}`)
        })
      }
    }
  })

  await check('its files have lines of bearable length, and maps that name their sources', () => {
    for (const name of ['peersox', 'slim', 'peersox-transfer', 'slim-transfer', 'webtransport']) {
      const text = readFileSync(join(npm, `${name}.js`), 'utf8')
      const longest = Math.max(...text.split('\n').map((it) => it.length))
      // A class is not cut between its methods.
      if (longest > 8_000) throw new Error(`${name}.js has a line of ${longest} characters`)
      equal(text.match(/^\/\/# sourceMappingURL=(.*)$/m)?.[1], `${name}.js.map`, `the map of ${name}.js`)
      const map = JSON.parse(readFileSync(join(npm, `${name}.js.map`), 'utf8'))
      const at = map.sources.findIndex((it) => it.startsWith('client-wasm/js/src/'))
      if (at < 0 || !map.sourcesContent[at]) throw new Error(`${name}.js.map has no sources: ${map.sources}`)
    }
  })

  await check('React mounts twice in strict mode, and a component that pairs when it is mounted connects', async (scope) => {
    const project = scope.directory()
    cpSync(join(here, 'project-react'), project, { recursive: true })
    await install(scope, project)
    for (const name of ['react', 'react-dom', 'scheduler']) symlinkSync(join(root, 'tests/node_modules', name), join(project, 'node_modules', name))
    const define = { 'process.env.NODE_ENV': '"development"' }
    await build({ root: project, base: './', mode: 'development', define, logLevel: 'error', build: { outDir: 'out', minify: false } })
    const site = await serveFolders({ react: join(project, 'out') })
    const server = await scope.server(['--allow-origin', site])
    const url = `${site}/react/?server=${encodeURIComponent(server.url)}`
    const initiator = await scope.page(url)
    const code = await (await initiator.waitForFunction(() => globalThis.code)).jsonValue()
    const joiner = await scope.page(`${url}&code=${code}`)
    for (const page of [initiator, joiner]) {
      await page.waitForFunction(() => document.querySelector('p')?.textContent === 'connected')
      equal(await page.evaluate(() => `${mounts} ${said.join()}`), '2 closed', 'mounts, and errors')
    }
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

/** The oldest compiler and the newest of version 5, and ways to find modules. */
const MODULES = { 'typescript-5.0': [['node16', 'node16'], ['esnext', 'bundler']], 'typescript-5.9': [['nodenext', 'nodenext']] }

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
