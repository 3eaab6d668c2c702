// The package in Node, which has no WebRTC, and no WebSocket before version 22.

import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { equal } from './embed.mjs'
import { check, here, root } from './harness.mjs'
import { install } from './package.mjs'

export async function nodeChecks() {
  await check('Node: two processes pair over the relay and end by themselves', async (scope) => {
    const { url } = await scope.server()
    const start = await starter(scope)
    const initiator = start('initiator', [url])
    const [, code] = await initiator.printed(/code (\S+)/)
    const joiner = start('joiner', [url, code])
    equal(await joiner.exit, 0, 'exit code of the joiner')
    equal(await initiator.exit, 0, 'exit code of the initiator')
    for (const [it, other, end] of [[initiator, 'joiner', 'peer-closed'], [joiner, 'initiator', 'closed']]) {
      const lines = it.stdout().toString().match(/^(got|closed).*/gm)
      equal(lines.join('\n'), `got from the ${other} ✓\ngot 2,3\ngot 6 large ones\nclosed: ${end}`, 'what came')
    }
    return joiner.stdout().toString().match(/by the relay: .+/)[0]
  })

  await check('Node: files of two builds do not start together', async (scope) => {
    const folder = scope.directory()
    cpSync(join(root, 'target/web/npm'), folder, { recursive: true })
    const { default: PeerSoxClient } = await import(join(folder, 'slim.js'))
    const { default: transfers } = await import(join(folder, 'slim-transfer.js'))
    const wasm = readFileSync(join(folder, 'peersox.wasm'))
    const [{ module: build }] = WebAssembly.Module.imports(new WebAssembly.Module(wasm))
    wasm.write('another1', wasm.indexOf(build))
    const said = await new PeerSoxClient({ url: 'http://localhost:1', wasm }).ready.catch((error) => error.code)
    equal(said, 'unsupported', 'the module')
    try {
      transfers({}, 'another1')
      throw new Error('a file of transfers started')
    } catch (error) {
      equal(error.message, 'this file is of another build than the one that loads it', 'the file of transfers')
    }
  })

  await check('Node: it can be imported where next to nothing is there, and says what is missing when it is needed', async (scope) => {
    const project = scope.directory()
    await install(scope, project)
    writeFileSync(
      join(project, 'bare.mjs'),
      `for (const name of process.argv[2].split(',')) delete globalThis[name]
for (const entry of ['peersox', 'peersox/slim']) {
  const { PeerSoxClient } = await import(entry)
  if (entry === 'peersox') await new PeerSoxClient({ url: 'http://localhost:1' }).initPairing().catch(({ code, message }) => console.log(code, message))
}`,
    )
    const module = 'unsupported the WebAssembly module cannot be loaded: this environment has no'
    for (const [missing, expected] of [
      ['TextDecoder,TextEncoder,Blob,Response,EventTarget,FinalizationRegistry', `${module} TextDecoder, TextEncoder, FinalizationRegistry`],
      ['DecompressionStream', `${module} DecompressionStream`],
      ['fetch', 'unsupported this environment has no `fetch`'],
    ]) {
      const it = scope.spawn('node', [join(project, 'bare.mjs'), missing], { program: process.execPath })
      equal(await it.exit, 0, 'exit code')
      equal(it.stdout().toString().trim(), expected, 'what it said')
    }
  })

  await check('Node: an error that nobody catches is a few lines, and its map leads to the source', async (scope) => {
    const project = scope.directory()
    await install(scope, project)
    writeFileSync(join(project, 'fails.mjs'), "import { PeerSoxClient } from 'peersox'\nnew PeerSoxClient({ url: 'ftp://example.org' })\n")
    for (const [flags, place] of [[[], /peersox\.js:\d+/], [['--enable-source-maps'], /src\/api\/client\.ts:\d+/]]) {
      const it = scope.spawn('node', [...flags, join(project, 'fails.mjs')], { program: process.execPath })
      const [said] = await it.said(/[^]*TypeError: ftp:[^]*Node\.js v/)
      if (!place.test(said)) throw new Error(`it names no place: ${said.slice(0, 2_000)}`)
      if (said.length > 4_000) throw new Error(`it says ${said.length} characters`)
    }
  })

  await check('Node: without a WebSocket it makes codes, and says what is missing', async (scope) => {
    const { url } = await scope.server()
    const start = await starter(scope)
    const it = start('node', [url], { WITHOUT_WEBSOCKET: '1' })
    equal(await it.exit, 0, 'exit code')
    const [, supports] = it.stdout().toString().match(/^supports (.*)/m)
    equal(supports, '{"WASM":true,"WEBSOCKET":false,"WEBRTC":false,"STORAGE":false,"FILE_SYSTEM":false}', 'SUPPORTS')
    if (!/^code \d+-\w+-\w+$/m.test(it.stdout())) throw new Error('no code was made')
    equal(it.stdout().toString().match(/connecting: .*/)[0], 'connecting: unsupported', 'the failure')
  })
}

/** Installs the package in a project, and gives what starts a process there. */
async function starter(scope) {
  const project = scope.directory()
  await install(scope, project)
  cpSync(join(here, 'node-peer.mjs'), join(project, 'peer.mjs'))
  return (who, args, env = {}) =>
    scope.spawn(who, ['--experimental-websocket', join(project, 'peer.mjs'), ...args], {
      program: process.execPath,
      env: { ...process.env, ...env },
    })
}
