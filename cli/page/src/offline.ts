/**
 * The page as an app: the service worker that keeps it, the offer to install it, and what the page says without a network.
 *
 * ```text
 *   loaded ──► worker registered ──► a newer one is installed ──► it waits until no page is busy
 *                                                            └──► a page of another version offers to load the new one
 * ```
 */

import { say, show } from './dom.js'

/** How often a page that stays open looks for a new version. Milliseconds. */
const LOOK_EVERY = 3_600_000

/** How often a worker that waits asks again whether it may take over. Milliseconds. */
const ASK_EVERY = 60_000

/** How often an unreachable server is tried. Milliseconds. */
const TRY_EVERY = 5_000

/** Has the browser keep the page. `isBusy` says whether a person is in the midst of something. */
export function keepOffline(isBusy: () => boolean): void {
  // Not in a page that is not secure.
  if (!('serviceWorker' in navigator)) return
  navigator.serviceWorker.addEventListener('message', ({ data, ports }) => {
    if (data?.word === 'busy') ports[0]?.postMessage(isBusy())
  })
  // First the page, then what is kept of it for later.
  if (document.readyState === 'complete') void register()
  else addEventListener('load', () => void register())
}

async function register(): Promise<void> {
  try {
    const registration = await navigator.serviceWorker.register('service.js')
    let looked = Date.now()
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState !== 'visible' || Date.now() - looked < LOOK_EVERY) return
      looked = Date.now()
      void registration.update().catch(() => {})
    })
    const waits = () => {
      if (!registration.waiting) return
      void offerNew(registration.waiting)
      registration.waiting.postMessage({ word: 'take over' })
    }
    setInterval(waits, ASK_EVERY)
    registration.addEventListener('updatefound', () => registration.installing?.addEventListener('statechange', waits))
    waits()
  } catch {
    // A browser that keeps nothing, or a certificate that it does not trust: then the page needs its server.
  }
}

/** Offers to load the page anew, if it is not of the version that waits. */
async function offerNew(waiting: ServiceWorker): Promise<void> {
  const { port1, port2 } = new MessageChannel()
  const isOfIt = await new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve(data)
    waiting.postMessage({ word: 'has', part: import.meta.url }, [port2])
  })
  const button = document.getElementById('renew')
  if (isOfIt || !button) return
  // What would be lost is asked about by the page itself.
  button.onclick = () => location.reload()
  show(button, true)
}

/** Offers to install the page where the browser can, without insisting. */
export function offerInstalling(): void {
  const button = document.getElementById('install')
  if (!button) return
  addEventListener('beforeinstallprompt', (event) => {
    // Otherwise the browser asks by itself, over the page.
    event.preventDefault()
    show(button, true)
    button.onclick = () => {
      show(button, false)
      void (event as Event & { prompt(): Promise<unknown> }).prompt()
    }
  })
  addEventListener('appinstalled', () => show(button, false))
}

/** Says which server this is, and what is missing while it does not answer. */
export function watchServer(): void {
  const version = document.getElementById('server')
  const notice = document.getElementById('reach')
  if (!version || !notice) return
  let again: ReturnType<typeof setTimeout> | undefined
  const look = async () => {
    clearTimeout(again)
    const why = await ask()
    say(notice, why.problem)
    show(notice, why.problem !== '')
    say(version, why.version)
    if (why.problem !== '') again = setTimeout(() => void look(), TRY_EVERY)
  }
  for (const event of ['online', 'offline']) addEventListener(event, () => void look())
  void look()
}

async function ask(): Promise<{ version: string; problem: string }> {
  try {
    const reply = await fetch('status.json')
    const now: { version: string; draining: boolean } = await reply.json()
    return { version: now.draining ? 'server is stopping' : `v${now.version}`, problem: '' }
  } catch {
    const problem = navigator.onLine
      ? 'The server of this page cannot be reached. Two devices need it to meet; this goes on by itself when it is back.'
      : 'This device has no network. Two devices need one to meet; this goes on by itself when there is one.'
    return { version: navigator.onLine ? 'server not reachable' : 'offline', problem }
  }
}
