/** Holds the views and the sessions, and says which view is seen. */

import type { Sendable } from 'peersox'
import { announce, h, show, toast } from './dom.js'
import { dropped } from './drop.js'
import { plural } from './format.js'
import { Home, type HomeOwner } from './home.js'
import { tidy } from './private.js'
import { HAS_PRIVATE } from './saving.js'
import { type Item, Session } from './session.js'
import { keptForTab } from './tab.js'
import { Talk, type TalkOwner } from './talk.js'

const CODE = /^[0-9]{4,12}(-[a-z]+)*$/i

/** See the module. */
export class App implements HomeOwner, TalkOwner {
  readonly sessions: Session[] = []
  readonly #main: HTMLElement
  readonly #home: Home
  readonly #talks = new Map<Session, Talk>()
  readonly #drawn = new Set<Session>()
  #talk: Talk | null = null

  constructor(main: HTMLElement) {
    this.#main = main
    this.#home = new Home(this)
    this.#listen()
    this.#see(null, false)
    setInterval(() => void this.#tick(), 1000)
    if (HAS_PRIVATE) tidy().catch(() => {})
  }

  /** Comes back to saved devices, and takes the code of a link. */
  async start(): Promise<void> {
    const code = decodeURIComponent(location.hash.slice(1))
    // A code works once: it neither belongs in the history nor into a bookmark.
    if (location.hash) history.replaceState(null, '', location.pathname + location.search)
    const probe = new Session()
    const stored = await probe.client.storedPairings()
    for (const pairing of stored) this.#take(new Session(pairing, true))
    const kept = keptForTab()
    if (kept && !this.sessions.some((it) => it.pairing?.id === kept.id)) this.#take(new Session(kept))
    if (CODE.test(code)) return this.#home.join(code)
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
    announce(`Connected to ${session.title}`)
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

  /** Lets go of a session that has ended. */
  remove(session: Session): void {
    const at = this.sessions.indexOf(session)
    if (at >= 0) this.sessions.splice(at, 1)
    this.#talks.delete(session)
    this.home()
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

  #take(session: Session): void {
    this.sessions.push(session)
    // Many changes in one moment are drawn once.
    session.addEventListener('change', () => {
      if (this.#drawn.size === 0) requestAnimationFrame(() => this.#draw())
      this.#drawn.add(session)
    })
    session.addEventListener('item', (event) => {
      const { detail } = event as CustomEvent<Item>
      const talk = this.#talks.get(session)
      talk?.add(detail)
      if (this.#talk?.session !== session && detail.kind !== 'note') toast(`${session.title}: ${summary(detail)}`)
    })
  }

  #draw(): void {
    const changed = new Set(this.#drawn)
    this.#drawn.clear()
    if (this.#talk && changed.has(this.#talk.session)) {
      this.#talk.session.unread = 0
      this.#talk.draw()
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
    document.title = session ? `${session.title} · PeerSox` : 'PeerSox'
  }

  async #tick(): Promise<void> {
    const talk = this.#talk
    if (!talk || document.visibilityState === 'hidden') return
    await talk.session.measure()
    talk.drawStats()
  }

  #listen(): void {
    addEventListener('popstate', () => {
      const id: unknown = history.state?.id
      this.#see(this.sessions.find((it) => id && it.pairing?.id === id) ?? null, false)
    })
    // A link that is followed while the page is open.
    addEventListener('hashchange', () => {
      const code = decodeURIComponent(location.hash.slice(1))
      history.replaceState(null, '', location.pathname)
      if (!CODE.test(code)) return
      this.#see(null, false)
      this.#home.join(code)
    })
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
    addEventListener('paste', (event) => {
      const files = [...(event.clipboardData?.files ?? [])]
      if (files.length > 0 && this.#talk) {
        event.preventDefault()
        void this.#drop(files)
      }
    })
  }

  async #drop(files: Sendable[]): Promise<void> {
    if (files.length === 0) return
    if (this.#talk) return this.#talk.drop(files)
    const session = await this.#home.showCode()
    await session.offer(files)
    this.#home.redraw()
    announce(`${plural(files.length, 'item')} will be offered to the device that types the code`)
  }
}

function summary(item: Item): string {
  switch (item.kind) {
    case 'text':
    case 'note':
      return item.text
    case 'bytes':
      return 'a binary message'
    case 'transfer':
      return `offers ${plural(item.transfer.entries.length, 'item')}`
  }
}
