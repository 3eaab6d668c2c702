/** Holds the views and the sessions, and says which view is seen. */

import type { Pairing, Sendable } from 'peersox'
import { guardLeaving, keepAwake } from './awake.js'
import { ask } from './dialogs.js'
import { announce, h, show, toast } from './dom.js'
import { dropped } from './drop.js'
import { Home, type HomeOwner } from './home.js'
import { isOnlyCopy, type Item } from './items.js'
import { keptSets } from './kept.js'
import { linkOf } from './link.js'
import { HAS_PRIVATE } from './saving.js'
import { Session } from './session.js'
import { shared } from './shared.js'
import { isSound } from './stored.js'
import { keptForTab } from './tab.js'
import { Tabs } from './tabs.js'
import { filesOf, Talk, type TalkOwner } from './talk.js'

/** See the module. */
export class App implements HomeOwner, TalkOwner {
  readonly sessions: Session[] = []
  readonly #main: HTMLElement
  readonly #home: Home
  readonly #talks = new Map<Session, Talk>()
  readonly #drawn = new Set<Session>()
  readonly #tabs = new Tabs((id) => this.sessions.some((it) => it.isHere && it.pairing?.id === id))
  #talk: Talk | null = null

  constructor(main: HTMLElement) {
    this.#main = main
    this.#home = new Home(this)
    this.#listen()
    this.#see(null, false)
    setInterval(() => void this.#tick(), 1000)
    guardLeaving(() => this.#home.wouldLose || this.sessions.some((it) => it.wouldLose))
  }

  /** Whether a person is in the midst of something that another version of the page must not disturb. */
  get isBusy(): boolean {
    return this.#home.isBusy || this.sessions.some((it) => it.wouldLose)
  }

  /** Comes back to saved devices, asks about the code of a link, and to whom goes what was shared. */
  async start(): Promise<void> {
    const why = new URLSearchParams(location.search).get('shared')
    const link = this.#takeLink()
    const probe = new Session()
    // A browser that keeps nothing, or keeps nonsense, has no saved devices.
    const stored: Pairing[] = await probe.client.storedPairings().catch(() => [])
    for (const pairing of stored) if (isSound(pairing)) this.#comeBack(new Session(pairing, true))
    const kept = keptForTab()
    if (kept && !this.sessions.some((it) => it.pairing?.id === kept.id)) this.#comeBack(new Session(kept))
    void this.#showKept()
    const given = (await shared(location.pathname)) ?? why
    if (given) return this.#home.drawShared(given)
    if (link) return this.#home.draw()
    const current = this.sessions.find((it) => it.pairing?.id === kept?.id)
    if (current) return this.#see(current, false)
    this.#home.draw()
    // Whoever is there first is what a person came back for.
    const first = (event: Event) => {
      const session = event.target as Session
      if (session.phase !== 'connected') return
      for (const it of this.sessions) it.removeEventListener('change', first)
      if (this.#talk === null && !this.#home.isBusy) this.#see(session, true)
    }
    for (const session of this.sessions) session.addEventListener('change', first)
  }

  /** Takes a session that has just been paired, and shows it. */
  adopt(session: Session): void {
    this.#take(session)
    announce(`Connected to ${session.other.name}`)
    this.#see(session, true)
  }

  /** Shows a conversation. */
  open(session: Session): void {
    this.#see(session, true)
  }

  /** Shows the first view. */
  home(): void {
    this.#see(null, true)
  }

  /** Lets go of a session that has ended, if nothing is lost by it or a person says so. */
  async remove(session: Session): Promise<void> {
    const detail = 'Files that are only in the memory of this page were not saved.'
    if (session.items.some(isOnlyCopy) && !(await ask('Leave them unsaved?', detail, 'Leave them', 'Stay'))) return
    const at = this.sessions.indexOf(session)
    if (at >= 0) this.sessions.splice(at, 1)
    this.#talks.delete(session)
    session.dispose()
    this.home()
    this.keptChanged()
  }

  /** To the clipboard, also where the page is not secure. */
  copy(text: string, done: string): void {
    const fallback = () => {
      const area = h('textarea', { readonly: true, class: 'sr' }, text)
      document.body.append(area)
      area.select()
      document.execCommand('copy')
      area.remove()
    }
    const copied = navigator.clipboard ? navigator.clipboard.writeText(text).catch(fallback) : Promise.resolve(fallback())
    void copied.then(() => {
      toast(done)
      announce(done)
    })
  }

  /** Files that an earlier page received were saved or deleted. */
  keptChanged(): void {
    void this.#listKept()
  }

  /** What was received before this page, in its conversation and on the first view. */
  async #showKept(): Promise<void> {
    for (const set of await this.#listKept()) {
      this.sessions.find((it) => it.pairing?.id === set.about.pairing)?.showKept(set)
    }
  }

  async #listKept() {
    const sets = HAS_PRIVATE ? await keptSets() : []
    this.#home.drawKept(sets)
    return sets
  }

  /** Reads a link, and asks about its code or says what is wrong. Whether there is something to read for a person. */
  #takeLink(): boolean {
    const link = linkOf(location.hash)
    // A code works once: it neither belongs in the history nor into a bookmark.
    if (location.hash || location.search) history.replaceState(null, '', location.pathname)
    if (link.kind === 'code') this.#home.question(link.code)
    if (link.kind === 'damaged') this.#home.damagedLink()
    return link.kind !== 'none'
  }

  /** Connects again, unless another tab is in the midst of it. */
  #comeBack(session: Session): void {
    this.#take(session)
    const id = session.pairing?.id ?? ''
    void this.#tabs.isElsewhere(id).then((isElsewhere) => {
      if (isElsewhere) session.standAside()
      else session.begin()
    })
  }

  #take(session: Session): void {
    this.sessions.push(session)
    // Many changes in one moment are drawn once.
    session.addEventListener('change', () => {
      if (this.#drawn.size === 0) requestAnimationFrame(() => this.#draw())
      this.#drawn.add(session)
      keepAwake(this.sessions.some((it) => it.running.length > 0))
    })
    session.addEventListener('item', (event) => {
      const { detail } = event as CustomEvent<Item>
      this.#talks.get(session)?.add(detail)
      if (this.#talk?.session !== session && detail.kind !== 'note' && detail.kind !== 'kept') toast(`${session.other.title}: ${summary(detail)}`)
    })
    session.addEventListener('gone', (event) => this.#talks.get(session)?.drop((event as CustomEvent<Item>).detail))
  }

  #draw(): void {
    const changed = new Set(this.#drawn)
    this.#drawn.clear()
    if (this.#talk && changed.has(this.#talk.session)) {
      this.#talk.session.unread = 0
      this.#talk.draw()
      this.#entitle()
    }
    if (!this.#talk) this.#home.draw()
  }

  #see(session: Session | null, remember: boolean): void {
    const id = session?.pairing?.id ?? null
    if (remember && history.state?.id !== id) history.pushState({ id }, '')
    if (session) {
      session.unread = 0
      const talk = this.#talks.get(session) ?? new Talk(this, session)
      this.#talks.set(session, talk)
      this.#talk = talk
      this.#main.replaceChildren(talk.element)
      talk.draw()
      talk.focus()
    } else {
      this.#talk = null
      this.#main.replaceChildren(this.#home.element)
      this.#home.draw()
      if (remember) this.#home.element.querySelector('h1')?.focus()
    }
    document.documentElement.dataset['view'] = session ? 'talk' : 'home'
    this.#entitle()
  }

  /** What a stranger calls itself is not the title of the page; what a person here calls a device may be. */
  #entitle(): void {
    const session = this.#talk?.session
    const title = session ? `${session.name || 'Conversation'} · PeerSox` : 'PeerSox'
    if (document.title !== title) document.title = title
  }

  async #tick(): Promise<void> {
    const talk = this.#talk
    if (!talk || document.visibilityState === 'hidden') return
    await talk.session.measure()
    talk.drawStats()
  }

  /** A conversation that another tab had may be free again. */
  async #takeBack(session: Session): Promise<void> {
    const id = session.pairing?.id ?? ''
    if (document.visibilityState !== 'visible' || session.phase !== 'elsewhere' || (await this.#tabs.isElsewhere(id))) return
    if (session.phase === 'elsewhere') session.reconnect()
  }

  #listen(): void {
    addEventListener('popstate', () => {
      const id: unknown = history.state?.id
      this.#see(this.sessions.find((it) => id && it.pairing?.id === id) ?? null, false)
    })
    // A link that is followed while the page is open.
    addEventListener('hashchange', () => {
      if (!location.hash) return
      this.#see(null, false)
      this.#takeLink()
    })
    addEventListener('pagehide', () => {
      for (const it of this.sessions) if (it.isHere && it.pairing) this.#tabs.leave(it.pairing.id)
    })
    document.addEventListener('visibilitychange', () => {
      for (const it of this.sessions) void this.#takeBack(it)
    })
    this.#tabs.onLeft = (id) => {
      // The tab that left may only have been loaded again; it then comes before.
      for (const it of this.sessions) if (it.pairing?.id === id) setTimeout(() => void this.#takeBack(it), 1_500)
    }
    const veil = document.getElementById('veil')
    let depth = 0
    const veiled = (on: boolean) => veil && show(veil, on)
    addEventListener('dragenter', (event) => {
      if (!event.dataTransfer?.types.includes('Files')) return
      depth++
      veiled(true)
    })
    addEventListener('dragleave', () => {
      depth = Math.max(0, depth - 1)
      if (depth === 0) veiled(false)
    })
    addEventListener('dragover', (event) => event.preventDefault())
    addEventListener('drop', (event) => {
      event.preventDefault()
      depth = 0
      veiled(false)
      void this.#drop(dropped(event.dataTransfer))
    })
    addEventListener('paste', (event) => this.#paste(event))
  }

  /** Files are offered. Text outside of a field is a message, or a code. */
  #paste(event: ClipboardEvent): void {
    const data = event.clipboardData
    const files = [...(data?.files ?? [])]
    const text = data?.getData('text/plain') ?? ''
    const isField = event.target instanceof Element && event.target.matches('input, textarea')
    // Spreadsheets and word processors add a picture of what is text.
    if (isField && text !== '') return
    if (files.length > 0) void this.#drop(files)
    else if (isField || text.trim() === '' || !(this.#talk ? this.#talk.insert(text) : this.#home.pasted(text))) return
    event.preventDefault()
  }

  async #drop(files: Sendable[]): Promise<void> {
    if (files.length === 0) return
    if (this.#talk) this.#talk.offer(files)
    else await this.#home.offer(files)
  }
}

function summary(item: Item): string {
  switch (item.kind) {
    case 'text':
    case 'note':
      return item.text
    case 'bytes':
      return 'a binary message'
    case 'asked':
      return 'waits to be saved'
    case 'kept':
      return 'files that were received before'
    case 'transfer':
      return `offers ${filesOf(item)}`
  }
}
