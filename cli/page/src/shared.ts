/**
 * What another app handed over by the system's share sheet: the service worker keeps it, the page takes it.
 *
 * ```text
 *   share sheet ── POST share ──► worker ──► cache: about, 0, 1, 2, …      one set at a time: a newer one takes its place
 *   page ── reads the set ──► asks to whom ──► a conversation has it ──► the set is removed
 *                                          └─► nobody wants it for a day ──► the set is removed
 * ```
 *
 * Any web site can post a form there, too. So nothing of it is sent before a person has said to whom.
 */

/** How long it waits to be used. Milliseconds. */
const KEPT = 86_400_000

/** The most files of one set. */
const MAX_FILES = 1_000

/** The most bytes of one set, if the browser has room for them. */
const MAX_BYTES = 4_000_000_000

/** The most characters of a text. */
const MAX_TEXT = 100_000

/** What was shared. */
export interface Shared {
  text: string
  files: File[]
}

interface About {
  /** Milliseconds since the Unix epoch. */
  at: number
  text: string
  files: { name: string; type: string; modified: number }[]
}

/** Why something was not kept; `word` is for the page's address. */
export class Refused extends Error {
  readonly word: 'empty' | 'full'

  constructor(word: Refused['word']) {
    super(word)
    this.word = word
  }
}

/** The cache of the page at this path. */
function nameFor(home: string): string {
  return `peersox-shared ${home}`
}

/** Keeps the fields of the form in place of what was kept before. */
export async function keep(home: string, form: FormData): Promise<void> {
  const files = form.getAll('files').filter((it) => it instanceof File).filter((it) => it.size > 0 || it.name !== '')
  const text = textOf(['title', 'text', 'url'].map((name) => form.get(name)), files.length > 0)
  if (files.length === 0 && text === '') throw new Refused('empty')
  await navigator.locks.request(nameFor(home), () => write(home, text, files))
}

async function write(home: string, text: string, files: readonly File[]): Promise<void> {
  const size = files.reduce((sum, it) => sum + it.size, 0)
  const name = nameFor(home)
  await caches.delete(name)
  const { quota = 0, usage = 0 } = await navigator.storage.estimate()
  if (files.length > MAX_FILES || size > Math.min(MAX_BYTES, quota - usage)) throw new Refused('full')
  const cache = await caches.open(name)
  try {
    for (const [at, file] of files.entries()) await cache.put(`${home}shared/${at}`, new Response(file))
    const about: About = { at: Date.now(), text, files: files.map((it) => ({ name: it.name, type: it.type, modified: it.lastModified })) }
    // Last: without it nothing is there.
    await cache.put(`${home}shared/about`, Response.json(about))
  } catch (error) {
    await caches.delete(name)
    throw error instanceof DOMException && error.name === 'QuotaExceededError' ? new Refused('full') : error
  }
}

/** Title, text and address as one text, each said once; the title of files alone is none of their content. */
function textOf(parts: (FormDataEntryValue | null)[], hasFiles: boolean): string {
  const [title = '', ...rest] = parts.map((it) => (typeof it === 'string' ? it.trim() : ''))
  const lines = rest.filter((it, at) => it !== '' && !rest.some((other, place) => place !== at && other.includes(it) && (other !== it || place < at)))
  if (title !== '' && !(hasFiles && lines.length === 0) && !lines.some((it) => it.includes(title))) lines.unshift(title)
  return lines.join('\n').slice(0, MAX_TEXT)
}

/** What waits for the page at this path; null if there is nothing. Removes what is too old, or broken. Never throws. */
export async function shared(home: string): Promise<Shared | null> {
  try {
    if (!('caches' in globalThis) || !(await caches.has(nameFor(home)))) return null
    // What is being written is read afterwards.
    const found = await navigator.locks.request(nameFor(home), () => read(home))
    if (!found) await forgetShared(home)
    return found
  } catch {
    await forgetShared(home)
    return null
  }
}

async function read(home: string): Promise<Shared | null> {
  const cache = await caches.open(nameFor(home))
  const about: About | undefined = await (await cache.match(`${home}shared/about`))?.json()
  if (!about || about.at < Date.now() - KEPT) return null
  const files = about.files.map(async ({ name, type, modified }, at) => {
    const kept = await cache.match(`${home}shared/${at}`)
    if (!kept) throw new Error('a file is missing')
    return new File([await kept.blob()], name, { type, lastModified: modified })
  })
  return { text: about.text, files: await Promise.all(files) }
}

/** It was used, or is not wanted. Never throws. */
export async function forgetShared(home: string): Promise<void> {
  try {
    await caches.delete(nameFor(home))
  } catch {
    // A browser that keeps nothing has kept nothing.
  }
}
