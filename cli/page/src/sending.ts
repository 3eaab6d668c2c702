/** The first card: files first, then the code by which another device takes them. */

import type { CloseReason, Sendable } from 'peersox'
import { announce, h, icon } from './dom.js'
import { bytes, plural } from './format.js'
import { HERE, ONLY_HERE } from './here.js'
import { qr } from './qr.js'
import { Session } from './session.js'
import { clip, cleanPath, message, sentence } from './text.js'

/** A code that nobody used is replaced for as long as somebody may be looking at it. */
const MAX_UNUSED = 20

/** The most characters of a text that are shown before it is sent. */
export const MAX_QUOTE = 300

/** Each code that somebody used without success was a guess at its words: the odds of three are negligible. */
const MAX_SPENT = 3

/** What the card asks of the page around it. */
export interface SendingOwner {
  /** Takes a session that has just been paired, and shows it. */
  adopt(session: Session): void
  /** Copies a text, then says that this is done. */
  copy(text: string, done: string): void
}

/** See the module. */
export class Sending {
  readonly element: HTMLElement
  readonly #app: SendingOwner
  readonly #heading = h('h2', { id: 'send-title' })
  readonly #offer = h('div', { class: 'offer' })
  readonly #files = h('input', { type: 'file', multiple: true, hidden: true, id: 'home-files' })
  readonly #folder = h('input', { type: 'file', webkitdirectory: true, hidden: true, id: 'home-folder' })
  readonly #changed: () => void
  #showing: Session | null = null
  #unused = 0
  #spent = 0
  #redraw: (() => void) | null = null

  /** `changed` is called when a code comes or goes. */
  constructor(app: SendingOwner, changed: () => void) {
    this.#app = app
    this.#changed = changed
    for (const input of [this.#files, this.#folder]) {
      input.addEventListener('change', () => {
        void this.offer([...(input.files ?? [])])
        input.value = ''
      })
    }
    this.element = h(
      'section',
      { class: 'card send-card', 'aria-labelledby': 'send-title' },
      this.#heading,
      this.#offer,
      this.#files,
      this.#folder,
    )
    this.#idle()
  }

  /** The session whose code is on the screen. */
  get showing(): Session | null {
    return this.#showing
  }

  /** Offers files, and says a text, to whoever types the code, which is shown if it is not yet. */
  async offer(files: Sendable[], text = ''): Promise<void> {
    if (files.length === 0 && text === '') return
    const session = this.#showing ?? new Session()
    await session.offer(files)
    if (text !== '') session.say(text)
    if (files.length > 0) announce(`${plural(files.length, 'file')} will be offered to the device that types the code`)
    if (this.#showing) return this.#redraw?.()
    await this.#show(session)
  }

  /** Shows a code. */
  async showCode(): Promise<void> {
    this.#unused = 0
    if (!this.#showing) await this.#show(new Session())
    this.element.scrollIntoView({ block: 'nearest' })
  }

  /** Gives up the code that is shown. */
  cancel(): void {
    const showing = this.#showing
    this.#showing = null
    showing?.leave()
    this.#idle()
  }

  async #show(session: Session): Promise<void> {
    if (this.#spent >= MAX_SPENT) {
      return this.#failed('Three codes were used up by somebody who did not know their words. Load the page again if you want to go on.')
    }
    this.#showing = session
    this.#entitle(session)
    this.#offer.replaceChildren(h('p', { class: 'soft waiting' }, 'Asking for a code …'))
    this.#changed()
    let isUsed = false
    try {
      const pairing = await session.client.initPairing()
      if (this.#showing !== session) return
      this.#redraw = () => this.#drawCode(session, pairing.code)
      this.#redraw()
      announce(`The code is ${pairing.code.replaceAll('-', ' ')}`)
      // Told as soon as somebody's guess at the words was taken, whatever else the server says.
      session.client.on('code.used', () => (isUsed = true))
      session.client.on('pairing.joined', () => {
        isUsed = true
        if (this.#showing === session) this.#offer.replaceChildren(h('p', { class: 'soft waiting' }, 'The code was typed: making sure of each other …'))
      })
      session.client.on('peer.connected', () => {
        if (this.#showing !== session) return
        this.#showing = null
        this.#idle()
        this.#app.adopt(session)
      })
      session.client.on('closed', ({ reason, message: text }) => {
        if (this.#showing === session) void this.#ended(session, reason, text, isUsed)
      })
    } catch (error) {
      if (this.#showing === session) this.#failed(message(error), session)
    }
  }

  async #ended(session: Session, reason: CloseReason, text: string, isUsed: boolean): Promise<void> {
    this.#showing = null
    if (isUsed || reason === 'code-mismatch') {
      this.#spent++
      const why = reason === 'code-mismatch' ? 'Somebody typed a wrong code.' : sentence(text)
      return this.#failed(`${why} The code is spent; show another one.`, session)
    }
    if (reason === 'expired' && ++this.#unused < MAX_UNUSED && document.visibilityState === 'visible') {
      announce('Nobody typed the code in time. Here is another.')
      return this.#show(renewed(session))
    }
    this.#failed(sentence(text), session)
  }

  /** Says what went wrong, and tries again when a person says so, with the files that waited. */
  #failed(text: string, session: Session | null = null): void {
    this.#showing = null
    this.#idle()
    const again = () => void this.#show(session ? renewed(session) : new Session())
    const retry = this.#spent < MAX_SPENT && h('button', { onclick: again }, icon('again'), 'Try again')
    this.#offer.prepend(h('div', { class: 'failure' }, h('p', { class: 'problem', role: 'alert' }, text), retry))
  }

  #idle(): void {
    this.#redraw = null
    this.#heading.textContent = 'Send files'
    const hasFolder = 'webkitdirectory' in this.#folder && matchMedia('(pointer: fine)').matches
    this.#offer.replaceChildren(
      h(
        'div',
        { class: 'dropzone' },
        h('span', { class: 'drop-icon' }, icon('up')),
        h('button', { class: 'primary large', id: 'choose', onclick: () => this.#files.click() }, matchMedia('(pointer: fine)').matches ? 'Choose or drop files' : 'Choose files'),
        hasFolder && h('button', { class: 'link', id: 'choose-folder', onclick: () => this.#folder.click() }, 'or a whole folder'),
      ),
      h('p', { class: 'soft small' }, 'Then a code is shown for the other device. Nothing leaves this one before somebody there accepts.'),
    )
    this.#changed()
  }

  #entitle(session: Session): void {
    this.#heading.textContent = session.staged.length > 0 || session.unsaid.length > 0 ? 'Ready to send' : 'Your code'
  }

  #drawCode(session: Session, code: string): void {
    const link = `${HERE}/#${code}`
    const copy = h('button', { onclick: () => this.#app.copy(link, 'Link copied.') }, icon('copy'), 'Copy link')
    const share = 'share' in navigator && h('button', { onclick: () => void navigator.share({ url: link }).catch(() => {}) }, icon('share'), 'Share')
    const [digits = '', ...words] = code.split('-')
    const shownCode = h(
      'output',
      { class: 'code', id: 'shown-code', 'aria-label': 'The code' },
      h('span', { class: 'digits' }, digits),
      // The dash is part of the code when it is copied; it is not seen at the beginning of a line.
      words.length > 0 && h('span', { class: 'words' }, h('span', { class: 'dash' }, '-'), words.join('-')),
    )
    const { staged } = session
    this.#entitle(session)
    this.#offer.replaceChildren(
      h(
        'div',
        { class: 'shown' },
        qr(link),
        h(
          'div',
          { class: 'beside' },
          shownCode,
          h('p', { class: 'soft small' }, 'For the other device to type, or to scan with its camera. It works once, while this page is open.'),
          h('p', { class: 'soft waiting' }, 'Waiting for the other device'),
        ),
      ),
      ...(ONLY_HERE === '' ? [] : [h('p', { class: 'soft small', id: 'only-here' }, ONLY_HERE)]),
      ...(staged.length > 0 ? [list(staged)] : []),
      ...session.unsaid.map((text) => h('p', { class: 'staged quote', dir: 'auto' }, clip(text, MAX_QUOTE))),
      h(
        'div',
        { class: 'buttons' },
        copy,
        share,
        h('button', { onclick: () => this.#files.click() }, icon('file'), staged.length > 0 ? 'Add files' : 'Choose files'),
        h('button', { class: 'quiet', onclick: () => this.cancel() }, icon('close'), 'Cancel'),
      ),
    )
    this.#changed()
  }
}

/** Another session for what waits in one whose code was not used. */
function renewed(session: Session): Session {
  const next = new Session()
  next.takeStaged(session)
  return next
}

/** What will be offered: names and sizes where they are known already. */
export function list(staged: readonly Sendable[]): HTMLElement {
  const first = staged.slice(0, 5).map((it) => {
    const isFile = it instanceof File
    const name = isFile ? it.webkitRelativePath || it.name : 'name' in it ? `${it.name}/` : 'data'
    return h('li', {}, h('bdi', {}, cleanPath([name])), isFile && h('span', { class: 'soft' }, bytes(it.size)))
  })
  const files = staged.filter((it) => it instanceof File)
  const size = files.length === staged.length ? `, ${bytes(files.reduce((sum, it) => sum + it.size, 0))}` : ''
  return h(
    'div',
    { class: 'staged' },
    h('p', {}, icon('file'), h('strong', {}, `${plural(staged.length, staged.length === files.length ? 'file' : 'item')}${size}`), ' will be offered'),
    h('ul', {}, ...first, staged.length > 5 && h('li', { class: 'soft' }, `and ${plural(staged.length - 5, 'more', 'more')}`)),
  )
}
