/** The page that `peersox serve` shows: two devices meet, talk, and send each other files. */

import { App } from './app.js'
import { say } from './dom.js'

const main = document.getElementById('main')
const server = document.getElementById('server')

async function status(): Promise<void> {
  if (!server) return
  try {
    const reply = await fetch('status.json')
    const now: { version: string; draining: boolean } = await reply.json()
    say(server, now.draining ? 'server is stopping' : `v${now.version}`)
  } catch {
    say(server, 'server not reachable')
  }
}

if (main) void new App(main).start()
void status()
