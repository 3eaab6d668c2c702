/**
 * The service worker: shows the page where there is no network, and takes what a share sheet hands over.
 *
 * ```text
 *   install      every part of this version, checked by its digest ──► cache; one that differs: not installed
 *   the page     from the network; if that does not answer in time, from the cache
 *   its parts    from the cache: a name that holds a digest never means anything else
 *   POST share   kept for the page, which is shown then; no byte of it goes to the network
 *   all else     passes by
 * ```
 *
 * A page and its parts belong together by the digests in their names, so that no page gets a part of another version.
 * A page that is open while the server is upgraded finds the parts it has not loaded yet in the cache of its version,
 * which is kept until there are two newer ones.
 */

import { forgetShared, keep, Refused } from './shared.js'

/** The paths of all parts, relative to this script, and the beginning of the SHA-256 of each. */
declare const PARTS: readonly (readonly [path: string, digest: string])[]
/** The digest of that list. */
declare const VERSION: string

interface Lasting extends Event {
  waitUntil(promise: Promise<unknown>): void
}

interface Fetched extends Lasting {
  readonly request: Request
  /** Not in every browser. */
  readonly preloadResponse?: Promise<Response | undefined>
  respondWith(reply: Promise<Response>): void
}

interface Asked extends Lasting {
  readonly data: unknown
  readonly ports: readonly MessagePort[]
}

interface Window {
  postMessage(message: unknown, transfer: Transferable[]): void
}

interface Scope {
  readonly registration: { readonly scope: string; readonly navigationPreload?: { enable(): Promise<void> } }
  readonly clients: { matchAll(options: object): Promise<readonly Window[]>; claim(): Promise<void> }
  skipWaiting(): Promise<void>
  addEventListener(name: 'install' | 'activate', act: (event: Lasting) => void): void
  addEventListener(name: 'fetch', act: (event: Fetched) => void): void
  addEventListener(name: 'message', act: (event: Asked) => void): void
}

const worker = self as unknown as Scope

/** Where the page is. A space is in no path: of another page of this origin nothing begins in the same way. */
const HOME = new URL('./', location.href)
const OURS = `peersox ${HOME.pathname} `
const NAME = `${OURS}${VERSION}`

/** How long the network may take to answer, if there is something else to show. Milliseconds. */
const PATIENCE = 4_000

/** How long a page may take to say whether it is busy. Milliseconds. */
const HEARING = 2_000

worker.addEventListener('install', (event) => event.waitUntil(install()))
worker.addEventListener('activate', (event) => event.waitUntil(activate()))

async function install(): Promise<void> {
  const cache = await caches.open(NAME)
  const done = await Promise.allSettled(PARTS.map(([path, digest]) => add(cache, path, digest)))
  const failed = done.find((it) => it.status === 'rejected')
  if (!failed) return
  // Half a version is none.
  await caches.delete(NAME)
  throw failed.reason
}

/** What is in the cache has been checked. */
async function add(cache: Cache, path: string, digest: string): Promise<void> {
  if (await cache.match(path)) return
  const reply = await fetch(path, { cache: path === './' ? 'no-cache' : 'default' })
  const bytes = await reply.clone().arrayBuffer()
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  const hex = [...hash].map((it) => it.toString(16).padStart(2, '0')).join('')
  if (!reply.ok || !hex.startsWith(digest)) throw new Error(`${path} is of another version`)
  await cache.put(path, reply)
}

async function activate(): Promise<void> {
  const others = (await caches.keys()).filter((it) => it.startsWith(OURS) && it !== NAME)
  // Pages of the version before may be open.
  await Promise.all(others.slice(0, -1).map((it) => caches.delete(it)))
  await worker.registration.navigationPreload?.enable()
  await worker.clients.claim()
}

worker.addEventListener('fetch', (event) => {
  const { request } = event
  const url = new URL(request.url)
  if (url.origin !== HOME.origin || !url.pathname.startsWith(HOME.pathname)) return
  const path = url.pathname.slice(HOME.pathname.length)
  if (request.method === 'POST' && path === 'share') event.respondWith(share(request))
  if (request.method !== 'GET') return
  if (request.mode === 'navigate' && path === '') event.respondWith(page(event))
  if (path.startsWith('assets/')) event.respondWith(part(request))
})

async function page(event: Fetched): Promise<Response> {
  const { request, preloadResponse } = event
  const cache = await caches.open(NAME)
  const kept = await cache.match('./')
  const asked = Promise.resolve(preloadResponse).then((it) => it ?? fetch(request))
  if (!kept) return asked
  event.waitUntil(renewed(cache, kept, asked))
  const late = new Promise<Response>((resolve) => setTimeout(resolve, PATIENCE, kept))
  // A proxy whose server is away answers, too.
  const usable = asked.then((it) => (it.status >= 500 ? kept : it))
  return Promise.race([usable, late]).catch(() => kept)
}

/** Keeps the page as it came now: the same bytes may come with another policy, as relays come and go. */
async function renewed(cache: Cache, kept: Response, asked: Promise<Response>): Promise<void> {
  const tag = kept.headers.get('etag')
  const now = await asked.catch(() => undefined)
  if (tag && now?.ok && !now.redirected && now.headers.get('etag') === tag) await cache.put('./', now.clone())
}

async function part(request: Request): Promise<Response> {
  for (const name of await caches.keys()) {
    if (!name.startsWith(OURS)) continue
    const kept = await (await caches.open(name)).match(request)
    if (kept) return kept
  }
  return fetch(request)
}

/** Answers with the page, which shows what was shared or says why it could not be taken. */
async function share(request: Request): Promise<Response> {
  let word = ''
  try {
    await keep(HOME.pathname, await request.formData())
  } catch (error) {
    // A newer one takes the place of what was there, also if it cannot be taken.
    await forgetShared(HOME.pathname)
    word = error instanceof Refused ? error.word : 'failed'
  }
  return Response.redirect(`./?shared=${word}`, 303)
}

worker.addEventListener('message', (event) => {
  const { word, part } = event.data as { word?: unknown; part?: unknown }
  // A page asks whether it is of this version.
  if (word === 'has') event.ports[0]?.postMessage(PARTS.some(([path]) => new URL(path, HOME).href === part))
  if (word === 'take over') event.waitUntil(takeOver())
})

/** Takes over from the worker before, unless a page is in the midst of something. */
async function takeOver(): Promise<void> {
  const pages = await worker.clients.matchAll({ type: 'window', includeUncontrolled: true })
  const busy = await Promise.all(pages.map(isBusy))
  if (!busy.includes(true)) await worker.skipWaiting()
}

/** A page that says nothing is asleep, or is being loaded. */
function isBusy(page: Window): Promise<boolean> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = ({ data }) => resolve(data === true)
    setTimeout(resolve, HEARING, false)
    page.postMessage({ word: 'busy' }, [port2])
  })
}
