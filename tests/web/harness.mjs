// What the checks stand on: servers, programs, browsers, and a line for each check.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSocketServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import puppeteer from 'puppeteer-core'

export const here = dirname(fileURLToPath(import.meta.url))
export const root = join(here, '../..')
export const binary = process.env.PEERSOX_BINARY
export const ownNetwork = process.env.PEERSOX_NETWORK === 'own'

// What checks do to relays would not be noticed on a direct path: programs look for one only where it is the matter.
process.env.PEERSOX_PATH ??= 'relay'

/** Far more than anything takes on a busy machine: a check that hangs fails instead of hanging everything. */
const PATIENCE = 300_000

/** What everything is cleaned up by. */
class Scope {
  #undo = []
  log = []

  defer(undo) {
    this.#undo.push(undo)
  }

  note(who, text) {
    for (const line of String(text).trimEnd().split('\n')) this.log.push(`${who}: ${line}`)
  }

  async end() {
    for (const undo of this.#undo.splice(0).reverse()) await Promise.resolve(undo()).catch(() => {})
  }

  /** A directory that is gone afterwards. */
  directory() {
    const path = mkdtempSync(join(tmpdir(), 'peersox-web-'))
    this.defer(() => rmSync(path, { recursive: true, force: true }))
    return path
  }

  /** `peersox serve`; resolves when it listens. */
  async server(args = [], listen = '127.0.0.1:0') {
    const child = this.spawn('server', ['serve', '--listen', listen, ...args])
    const [, url] = await child.said(/ready at (http:\/\/\S+)/)
    return { url, child, stop: () => child.stop('SIGTERM') }
  }

  /** Runs the binary, or another program. */
  spawn(who, args, { program = binary, ...options } = {}) {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options })
    const waiting = new Set()
    const output = { text: '', stdout: [], exited: null }
    const look = () => waiting.forEach((it) => it())
    child.stdout.on('data', (data) => {
      output.stdout.push(data)
      look()
    })
    child.stderr.on('data', (data) => {
      output.text += data
      this.note(who, data)
      look()
    })
    const exit = new Promise((resolve) =>
      child.on('close', (code, signal) => {
        output.exited = code ?? signal
        look()
        resolve(code ?? signal)
      }),
    )
    this.defer(() => child.kill('SIGKILL'))
    const until = (find, what) =>
      new Promise((resolve, reject) => {
        const it = () => {
          const found = find()
          if (!found && output.exited === null) return
          waiting.delete(it)
          if (found) resolve(found)
          else reject(new Error(`${who} ended (${output.exited}) without ${what}`))
        }
        waiting.add(it)
        it()
      })
    return {
      stdin: child.stdin,
      exit,
      stdout: () => Buffer.concat(output.stdout),
      said: (pattern) => until(() => output.text.match(pattern), `saying ${pattern}`),
      wrote: (text) => until(() => Buffer.concat(output.stdout).toString().includes(text), `writing ${text}`),
      printed: (pattern) => until(() => Buffer.concat(output.stdout).toString().match(pattern), `printing ${pattern}`),
      stop: (signal) => {
        child.kill(signal)
        return exit
      },
    }
  }

  /** The code that a command with `--json` shows. */
  async code(child) {
    return (await child.said(/"code":"([0-9a-z-]+)"/))[1]
  }

  /** A page of its own profile in Chromium. */
  async page(url, options = {}, context) {
    if (!context) {
      context = await (await theBrowser()).newContext({ viewport: { width: 1280, height: 800 }, ...options })
      this.defer(() => context.close())
      if (!ownNetwork) await context.grantPermissions(['microphone', 'camera'])
      await context.addInitScript(collect)
    }
    const page = await context.newPage()
    const name = `page ${context.pages().length}`
    page.problems = []
    page.requests = []
    page.on('console', (message) => {
      this.note(name, `[${message.type()}] ${message.text()}`)
      if (message.type() === 'error') page.problems.push(message.text())
    })
    page.on('pageerror', (error) => {
      this.note(name, error.stack || error.message)
      page.problems.push(error.message)
    })
    page.on('request', (request) => page.requests.push(request.url()))
    page.on('websocket', (socket) => page.requests.push(socket.url()))
    page.setDefaultTimeout(60_000)
    await page.goto(url)
    return page
  }

  /** Why there is no Firefox here, if there is none. */
  noFirefox() {
    if (!existsSync(FIREFOX)) return 'Firefox is not here'
    return ownNetwork ? undefined : 'Firefox has no WebRTC on lo alone'
  }

  /** A page of its own profile in Firefox, by another driver with other names. */
  async firefox(url) {
    const firefox = await puppeteer.launch({ browser: 'firefox', executablePath: FIREFOX, headless: true })
    this.defer(() => firefox.close())
    const page = await firefox.newPage()
    page.on('console', (message) => this.note('firefox', message.text()))
    page.setDefaultTimeout(60_000)
    await page.goto(url)
    return page
  }
}

const FIREFOX = '/usr/bin/firefox-esr'

/**
 * Keeps every RTCPeerConnection, so that a check can close it behind the client's back, and the memory of every
 * WebAssembly instance, which nothing else tells the size of.
 */
function collect() {
  const Real = globalThis.RTCPeerConnection
  globalThis.connections = []
  globalThis.RTCPeerConnection = class extends Real {
    constructor(...args) {
      super(...args)
      globalThis.connections.push(this)
    }
  }
  const { instantiate } = WebAssembly
  globalThis.memories = []
  WebAssembly.instantiate = async (...args) => {
    const made = await instantiate(...args)
    globalThis.memories.push((made.instance ?? made).exports.memory)
    return made
  }
}

/** Where Chromium is. */
export const chromiumPath = () => ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync)

let browser
async function theBrowser() {
  browser ??= chromium.launch({
    executablePath: chromiumPath(),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...(ownNetwork ? [] : ['--allow-loopback-in-peer-connection']),
    ],
  })
  return browser
}

let passed = 0
let failed = 0
let skipped = 0
const words = process.argv.slice(2)
/** Words that no name of a check has held so far. */
const unheard = new Set(words)

/** What runs now; only one that is alone, if it is. */
const running = new Set()
/** The check that runs alone or is the next to. */
let loner

/** Resolves when a check may run: with others, or `alone`. */
async function turn(check, alone) {
  while (loner) await loner
  running.add(check)
  if (!alone) return
  loner = check
  while (running.size > 1) await Promise.race([...running].filter((it) => it !== check))
}

/**
 * Runs one check and prints one line. What it returns is told with it; `skip` says why it could not run. `alone`
 * keeps others from running meanwhile: it measures, or changes the network of all.
 */
export async function check(name, act, { alone = false } = {}) {
  const held = words.filter((it) => name.includes(it))
  if (words.length > 0 && held.length === 0) return
  held.forEach((it) => unheard.delete(it))
  let end
  const over = new Promise((resolve) => (end = resolve))
  await turn(over, alone)
  const scope = new Scope()
  const started = performance.now()
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${PATIENCE / 1000} s`)), PATIENCE)
  })
  try {
    const told = await Promise.race([act(scope), late])
    const took = `${((performance.now() - started) / 1000).toFixed(1)} s`
    if (told?.skip) {
      skipped++
      console.log(`web ${name}: skipped: ${told.skip}`)
    } else {
      passed++
      console.log(`web ${name}: ok (${[told, took].filter(Boolean).join(', ')})`)
    }
  } catch (error) {
    failed++
    console.log(`web ${name}: FAILED: ${String(error.message).split('\n', 1)[0]}`)
    console.log(error.stack.replace(/^/gm, '    '))
    console.log(scope.log.slice(-80).join('\n').replace(/^/gm, '    | '))
  } finally {
    clearTimeout(timer)
    await scope.end()
    running.delete(over)
    if (alone) loner = undefined
    end()
  }
}

/** Closes what all checks share, and says how it went. */
export async function finish() {
  if (browser) await (await browser).close()
  for (const server of shared.splice(0)) server.close()
  // A word that is misspelt must not pass for a check that passed.
  for (const word of unheard) console.log(`error: no check's name holds "${word}"`)
  console.log(`web checks: ${passed} passed, ${failed} failed, ${skipped} skipped`)
  process.exitCode = failed > 0 || unheard.size > 0 ? 1 : 0
}

const shared = []
const KINDS = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.css': 'text/css' }

/** Serves folders on an origin of their own, as an embedder's web server does, with `headers` of its own if it likes. */
export function serveFolders(folders, headers = () => ({})) {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, 'http://x').pathname)
    const [, prefix, ...rest] = path.split('/')
    const file = folders[prefix] && join(folders[prefix], ...(rest.join('/') === '' ? ['index.html'] : rest))
    if (!file || !existsSync(file)) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': KINDS[extname(file)] ?? 'application/octet-stream', ...headers() }).end(readFileSync(file))
  })
  shared.push(server)
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`)))
}

let ports = 0
/** A port for TCP and UDP that stays free while nobody listens there: the system chooses none below 32,768. */
export async function quietPort() {
  for (let tries = 0; tries < 2_000; tries++) {
    const port = 30_000 + (((process.pid % 100) * 20 + ports++) % 2_000)
    const [tcp, udp] = [createSocketServer(), createSocket('udp4')]
    try {
      await once(tcp.listen(port, '127.0.0.1'), 'listening')
      udp.bind(port, '127.0.0.1')
      await once(udp, 'listening')
      return port
    } catch {
      // Somebody listens there.
    } finally {
      tcp.close()
      udp.close()
    }
  }
  throw new Error('no port is free')
}

/** Asks every 50 ms until it is so; the patience of the check bounds it. */
export async function until(isSo) {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 50))
}

/** Resolves when the pages of all these nodes of control may connect to all these relays, each `HOST:PORT`. */
export function known(controls, relays) {
  return until(async () => {
    for (const control of controls) {
      const policy = (await fetch(`http://${control}`)).headers.get('content-security-policy')
      if (!relays.every((relay) => policy.includes(`ws://${relay}`))) return false
    }
    return true
  })
}

/** How many legs the relay at this `HOST:PORT` has. */
export async function legs(relay) {
  return (await (await fetch(`http://${relay}/status.json`)).json()).legs
}

/** SHA-256 in hex. */
export function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}
