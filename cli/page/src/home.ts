/** The first view: files to send, a code to type, and devices that are saved. */

import type { Sendable } from 'peersox'
import { h, icon, show } from './dom.js'
import { plural } from './format.js'
import { HERE, ONLY_HERE } from './here.js'
import type { KeptSet } from './kept.js'
import { keptCard } from './keptcard.js'
import { linkOf } from './link.js'
import { deviceRow, ShareCard } from './sharecard.js'
import { forgetShared, type Shared } from './shared.js'
import { Sending, type SendingOwner } from './sending.js'
import { Session } from './session.js'
import { message } from './text.js'
import { keepSettings, settings } from './settings.js'

/** What the first view asks of the page around it. */
export interface HomeOwner extends SendingOwner {
  readonly sessions: readonly Session[]
  /** Shows a conversation. */
  open(session: Session): void
  /** Files that an earlier page received were saved or deleted. */
  keptChanged(): void
}

/** See the module. */
export class Home {
  readonly element: HTMLElement
  readonly #app: HomeOwner
  readonly #sending: Sending
  readonly #devices = h('section', { class: 'devices', 'aria-labelledby': 'devices-title', hidden: true })
  readonly #kept = h('section', { class: 'devices kept-sets', 'aria-labelledby': 'kept-title', hidden: true })
  readonly #shared = h('div', { hidden: true })
  #share: ShareCard | null = null
  readonly #input = h('input', {
    id: 'code',
    name: 'code',
    type: 'text',
    maxlength: 300,
    autocomplete: 'off',
    autocapitalize: 'none',
    autocorrect: 'off',
    spellcheck: 'false',
    enterkeyhint: 'go',
    placeholder: '481920-tulip-ember',
    'aria-describedby': 'code-help code-problem',
  })
  readonly #help = h('p', { id: 'code-help', class: 'soft' })
  readonly #problem = h('p', { id: 'code-problem', class: 'problem', role: 'alert' })
  readonly #scan = h('button', { id: 'scan', type: 'button', hidden: true, onclick: () => void this.#scanCode() }, icon('scan'), h('span', {}, 'Scan'))
  readonly #join = h('button', { type: 'submit' }, 'Connect')
  readonly #showCode = h('button', { id: 'show-code', onclick: () => void this.#sending.showCode() }, 'Show a code')
  readonly #without = h('div', { class: 'without' }, h('p', { class: 'soft small' }, 'No code, and nothing to send yet? Then let the other device type yours.'), this.#showCode)
  readonly #typing: HTMLElement
  readonly #cards: HTMLElement
  /** A link brought the code that stands in the field; a person has not said yes yet. */
  #isAsking = false
  #joining: AbortController | null = null

  constructor(app: HomeOwner) {
    this.#app = app
    this.#sending = new Sending(app, () => show(this.#without, this.#sending?.showing == null))
    this.#input.addEventListener('input', () => {
      this.#drawJoin()
      if (this.#isAsking) this.#endQuestion()
    })
    this.#typing = h(
      'section',
      { class: 'card type-card', 'aria-labelledby': 'type-title' },
      h('h2', { id: 'type-title' }, h('label', { for: 'code' }, 'Type a code')),
      h(
        'form',
        { class: 'join', onsubmit: (event: Event) => this.#submit(event) },
        this.#help,
        h('div', { class: 'code-row' }, this.#input, this.#scan),
        this.#problem,
        this.#join,
      ),
      this.#without,
    )
    this.#cards = h('div', { class: 'cards' }, this.#sending.element, this.#typing)
    this.element = h(
      'div',
      { class: 'home' },
      // It is there, and seen, before this script.
      document.getElementById('hero'),
      this.#shared,
      this.#kept,
      this.#cards,
      this.#devices,
      this.#more(),
    )
    this.#endQuestion()
    this.#drawJoin()
    void canScan().then((can) => show(this.#scan, can))
  }

  /** Whether a code is on the screen, waits for an answer, or is being tried. */
  get isBusy(): boolean {
    return this.#sending.showing !== null || this.#joining !== null || this.#isAsking || this.#share !== null
  }

  /** Whether files, or words, wait for a code to be typed. */
  get wouldLose(): boolean {
    return this.#sending.showing?.wouldLose ?? false
  }

  /** Draws the saved devices anew. */
  draw(): void {
    const sessions = this.#app.sessions.filter((it) => it.pairing?.secret)
    show(this.#devices, sessions.length > 0)
    this.#share?.draw(sessions)
    if (sessions.length === 0) return
    const rows = sessions.map((it) => deviceRow(it, () => this.#app.open(it)))
    const focused = [...this.#devices.querySelectorAll('button')].indexOf(document.activeElement as HTMLButtonElement)
    this.#devices.replaceChildren(h('h2', { id: 'devices-title' }, 'Your devices'), h('ul', {}, ...rows))
    if (focused >= 0) this.#devices.querySelectorAll('button')[focused]?.focus()
  }

  /** Shows what an earlier page has received and nobody saved. */
  drawKept(sets: readonly KeptSet[]): void {
    show(this.#kept, sets.length > 0)
    this.#kept.replaceChildren(
      h('h2', { id: 'kept-title' }, 'Received, not saved yet'),
      ...sets.map((it) => keptCard(it, () => this.#app.keptChanged())),
    )
  }

  /** Asks to whom goes what another app has shared, or says why there is nothing. */
  drawShared(what: Shared | string): void {
    const done = () => {
      this.#share = null
      show(this.#shared, false)
      void forgetShared(location.pathname)
    }
    const choose = (session: Session) => {
      done()
      this.#app.open(session)
      session.sendShared(what as Shared)
    }
    const showCode = () => {
      done()
      void this.#sending.offer((what as Shared).files, (what as Shared).text)
    }
    this.#share = new ShareCard(what, { choose, showCode, done })
    this.#shared.replaceChildren(this.#share.element)
    show(this.#shared, true)
    this.draw()
    this.#share.focus()
  }

  /** A link brought a code: it is used when a person says so, and by no program that merely opens links. */
  question(code: string): void {
    this.#isAsking = true
    this.#input.value = code
    this.#problem.textContent = ''
    this.#help.textContent = 'Connect to the device that shows this code? It then learns the name of this device and, on a direct way, its address.'
    this.#typing.classList.add('asking')
    this.#drawJoin()
    this.#cards.prepend(this.#typing)
    show(this.#without, false)
    this.#join.focus()
  }

  /** A link brought something that is no code. */
  damagedLink(): void {
    this.#problem.textContent = 'The link is damaged: it holds no code. Ask for the code itself, and type it here.'
  }

  /** Offers files to whoever types the code that is then shown. */
  offer(files: Sendable[]): Promise<void> {
    return this.#sending.offer(files)
  }

  /** What was pasted is a code, or a link with one: asks about it. Whether it is. */
  pasted(text: string): boolean {
    const link = text.length < 300 ? linkOf(text.includes('#') ? text.slice(text.indexOf('#')) : text) : null
    if (link?.kind !== 'code' || !link.code.includes('-')) return false
    this.question(link.code)
    return true
  }

  async #scanCode(): Promise<void> {
    const { scan } = await import('./scan.js')
    const code = await scan(HERE)
    if (code !== null) this.question(code)
    else this.#scan.focus()
  }

  #endQuestion(): void {
    this.#isAsking = false
    this.#help.textContent = 'The one that the other device shows. Spaces, dashes and case do not matter.'
    this.#typing.classList.remove('asking')
    show(this.#without, this.#sending.showing === null)
  }

  /** The button is for codes: each has digits. What has none is refused in words. */
  #drawJoin(): void {
    const { value } = this.#input
    const isJoining = this.#joining !== null
    this.#join.textContent = isJoining ? 'Cancel' : 'Connect'
    this.#join.classList.toggle('working', isJoining)
    this.#join.classList.toggle('primary', /\d/.test(value))
    this.#join.disabled = !isJoining && value.trim() === ''
  }

  #submit(event: Event): void {
    event.preventDefault()
    if (this.#joining) return this.#joining.abort()
    void this.#tryCode(this.#input.value)
  }

  async #tryCode(typed: string): Promise<void> {
    this.#problem.textContent = ''
    const attempt = (this.#joining = new AbortController())
    this.#drawJoin()
    const session = new Session()
    try {
      await session.client.pair(codeOf(typed), { signal: attempt.signal })
      await session.client.connected({ signal: attempt.signal })
      this.#input.value = ''
      this.#endQuestion()
      const showing = this.#sending.showing
      if (showing) {
        session.takeStaged(showing)
        this.#sending.cancel()
      }
      this.#app.adopt(session)
    } catch (error) {
      session.leave()
      if (!attempt.signal.aborted) {
        this.#problem.textContent = message(error)
        this.#input.setAttribute('aria-invalid', 'true')
        this.#input.focus()
      }
      if (this.#isAsking) this.#endQuestion()
    } finally {
      this.#joining = null
      this.#drawJoin()
      if (this.#problem.textContent === '') this.#input.removeAttribute('aria-invalid')
    }
  }

  #more(): HTMLElement {
    const own = settings()
    const name = h('input', { id: 'own-name', type: 'text', maxlength: 60, value: own.name, autocomplete: 'off' })
    name.addEventListener('change', () => keepSettings({ name: name.value.trim() }))
    const box = (id: string, checked: boolean, keep: (on: boolean) => void, text: string) => {
      const input = h('input', { id, type: 'checkbox', checked })
      input.addEventListener('change', () => keep(input.checked))
      return h('p', { class: 'check' }, input, h('label', { for: id }, text))
    }
    const server = HERE === 'http://localhost:3000' ? '' : ` --server ${HERE}`
    return h(
      'details',
      { class: 'more' },
      h('summary', {}, 'This device, and the command line'),
      h(
        'div',
        { class: 'more-body' },
        h('p', { class: 'field' }, h('label', { for: 'own-name' }, 'Its name, as others see it'), name),
        CAN_ADD && h('p', { class: 'soft' }, 'To have this page as an app: tap Share in the browser, then “Add to Home Screen”.'),
        box('relay-only', own.relayOnly, (on) => keepSettings({ relayOnly: on }), 'Stay on the relay, so that the other device does not learn this one’s addresses'),
        box('save-all', own.saveAll, (on) => keepSettings({ saveAll: on }), 'Save up to 20 files at once without another click when they have arrived'),
        h('p', { class: 'soft' }, 'The other device may also be a terminal:'),
        h('pre', { tabindex: 0 }, `peersox receive${server} CODE\npeersox send${server} FILE…\npeersox connect${server} CODE`),
        ONLY_HERE !== '' && h('p', { class: 'soft small' }, ONLY_HERE),
      ),
    )
  }
}

/** Apple's systems install a page by a menu only; and not what is installed already. */
const CAN_ADD = /iPhone|iPad/.test(navigator.userAgent) && (navigator as { standalone?: boolean }).standalone === false

/** Whether this browser reads QR codes, and has something like a camera. */
async function canScan(): Promise<boolean> {
  const { BarcodeDetector } = globalThis as { BarcodeDetector?: { getSupportedFormats(): Promise<string[]> } }
  if (!BarcodeDetector || !navigator.mediaDevices) return false
  const formats: string[] = await BarcodeDetector.getSupportedFormats().catch(() => [])
  return formats.includes('qr_code')
}

/** The code of what was typed, which may be the whole link. */
function codeOf(typed: string): string {
  const at = typed.indexOf('#')
  const link = at >= 0 ? linkOf(typed.slice(at)) : null
  return link?.kind === 'code' ? link.code : typed
}
