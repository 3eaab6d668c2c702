/** The first view: show a code, type one, or come back to a device that is saved. */

import type { CloseReason } from 'peersox'
import { encode } from 'uqr'
import { announce, h, icon, say, show, svg } from './dom.js'
import { clock, plural } from './format.js'
import { HERE } from './here.js'
import { message, Session } from './session.js'
import { keepSettings, settings } from './settings.js'

/** A code is replaced by a new one for as long as somebody may be looking at it. */
const MAX_CODES = 20

/** What the first view asks of the page around it. */
export interface HomeOwner {
  readonly sessions: readonly Session[]
  /** Takes a session that has just been paired, and shows it. */
  adopt(session: Session): void
  /** Shows a conversation. */
  open(session: Session): void
  /** Copies a text, then says that this is done. */
  copy(text: string, done: string): void
}

/** See the module. */
export class Home {
  readonly element: HTMLElement
  readonly #app: HomeOwner
  readonly #offer = h('div', { class: 'offer' })
  readonly #devices = h('section', { class: 'devices', 'aria-labelledby': 'devices-title', hidden: true })
  readonly #input = h('input', {
    id: 'code',
    name: 'code',
    type: 'text',
    autocomplete: 'off',
    autocapitalize: 'none',
    autocorrect: 'off',
    spellcheck: 'false',
    enterkeyhint: 'go',
    placeholder: '481920-tulip-ember',
    'aria-describedby': 'code-help code-problem',
  })
  readonly #problem = h('p', { id: 'code-problem', class: 'problem', role: 'alert' })
  readonly #join = h('button', { class: 'primary', type: 'submit' }, 'Connect')
  #showing: Session | null = null
  #joining: AbortController | null = null
  #countdown: ReturnType<typeof setInterval> | undefined
  #shown = 0
  #redraw: (() => void) | null = null

  constructor(app: HomeOwner) {
    this.#app = app
    const own = settings()
    const name = h('input', { id: 'own-name', type: 'text', maxlength: 60, value: own.name, autocomplete: 'off' })
    name.addEventListener('change', () => keepSettings({ name: name.value.trim() }))
    const relay = h('input', { id: 'relay-only', type: 'checkbox', checked: own.relayOnly })
    relay.addEventListener('change', () => keepSettings({ relayOnly: relay.checked }))
    this.element = h(
      'div',
      { class: 'home' },
      h(
        'div',
        { class: 'hero' },
        h('h1', { tabindex: -1 }, 'Two devices, one short code.'),
        h('p', {}, 'Send files of any size and talk, sealed from end to end: directly where the network allows it, over this server where it does not.'),
      ),
      h(
        'div',
        { class: 'cards' },
        h(
          'section',
          { class: 'card', 'aria-labelledby': 'show-title' },
          h('h2', { id: 'show-title' }, 'Show a code'),
          this.#offer,
        ),
        h(
          'section',
          { class: 'card', 'aria-labelledby': 'type-title' },
          h('h2', { id: 'type-title' }, h('label', { for: 'code' }, 'Type a code')),
          h(
            'form',
            { class: 'join', onsubmit: (event: Event) => this.#submit(event) },
            h('p', { id: 'code-help', class: 'soft' }, 'The one that the other device shows. Spaces, dashes and case do not matter.'),
            this.#input,
            this.#problem,
            this.#join,
          ),
        ),
      ),
      this.#devices,
      h(
        'details',
        { class: 'more' },
        h('summary', {}, 'This device, and the command line'),
        h(
          'div',
          { class: 'more-body' },
          h('p', { class: 'field' }, h('label', { for: 'own-name' }, 'Its name, as others see it'), name),
          h(
            'p',
            { class: 'check' },
            relay,
            h('label', { for: 'relay-only' }, 'Stay on the relay, so that the other device does not learn this one’s addresses'),
          ),
          h('p', { class: 'soft' }, 'The other device may also be a terminal:'),
          h('pre', { tabindex: 0 }, `peersox receive${this.#server()} CODE\npeersox send${this.#server()} FILE…\npeersox connect${this.#server()} CODE`),
        ),
      ),
    )
    this.#idle()
  }

  /** Whether a code is on the screen or one is being tried. */
  get isBusy(): boolean {
    return this.#showing !== null || this.#joining !== null
  }

  /** Draws the saved devices anew. */
  draw(): void {
    const sessions = this.#app.sessions.filter((it) => it.pairing?.secret)
    show(this.#devices, sessions.length > 0)
    if (sessions.length === 0) return
    const rows = sessions.map((session) => {
      const [state, words] = presence(session)
      return h(
        'li',
        {},
        h(
          'button',
          { class: 'device-row', 'data-state': state, onclick: () => this.#app.open(session) },
          h('span', { class: 'dot', 'aria-hidden': 'true' }),
          h('span', { class: 'device-name' }, session.title),
          session.unread > 0 && h('span', { class: 'badge' }, plural(session.unread, 'new item')),
          h('span', { class: 'soft device-state' }, words),
          icon('next'),
        ),
      )
    })
    const focused = [...this.#devices.querySelectorAll('button')].indexOf(document.activeElement as HTMLButtonElement)
    this.#devices.replaceChildren(h('h2', { id: 'devices-title' }, 'Your devices'), h('ul', {}, ...rows))
    if (focused >= 0) this.#devices.querySelectorAll('button')[focused]?.focus()
  }

  /** Types a code for somebody who followed a link. */
  join(code: string): void {
    this.#input.value = code
    void this.#tryCode(code)
  }

  /** Shows a code, with files that are to be sent to whoever types it. */
  async showCode(): Promise<Session> {
    this.#shown = 0
    return this.#showCode(new Session())
  }

  /** Draws the code that is shown anew. */
  redraw(): void {
    this.#redraw?.()
  }

  /** Gives up what is under way. */
  cancel(): void {
    this.#joining?.abort()
    const showing = this.#showing
    this.#showing = null
    if (showing) void showing.leave()
    this.#idle()
  }

  async #showCode(session: Session): Promise<Session> {
    this.#showing = session
    this.#shown++
    this.#offer.replaceChildren(h('p', { class: 'soft waiting' }, 'Asking for a code …'))
    try {
      const pairing = await session.client.initPairing()
      if (this.#showing !== session) return session
      this.#redraw = () => this.#drawCode(session, pairing.code, pairing.codeExpiresAt)
      this.#redraw()
      session.client.on('pairing.joined', () => {
        if (this.#showing === session) this.#offer.replaceChildren(h('p', { class: 'soft waiting' }, 'The code was typed: making sure of each other …'))
      })
      session.client.on('peer.connected', () => {
        if (this.#showing !== session) return
        this.#showing = null
        this.#idle()
        this.#app.adopt(session)
      })
      session.client.on('closed', ({ reason, message: text }) => {
        if (this.#showing === session) void this.#spent(session, reason, text)
      })
    } catch (error) {
      if (this.#showing === session) this.#failed(message(error))
    }
    return session
  }

  async #spent(session: Session, reason: CloseReason, text: string): Promise<void> {
    this.#showing = null
    if (reason === 'expired' && this.#shown < MAX_CODES && document.visibilityState === 'visible') {
      announce('Nobody typed the code in time. Here is another.')
      const next = new Session()
      next.takeStaged(session)
      await this.#showCode(next)
    } else {
      this.#failed(reason === 'code-mismatch' ? 'Somebody typed a wrong code. It is spent; show another one.' : text)
    }
  }

  #failed(text: string): void {
    this.#showing = null
    this.#idle()
    this.#offer.prepend(h('p', { class: 'problem', role: 'alert' }, text))
  }

  #idle(): void {
    this.#redraw = null
    clearInterval(this.#countdown)
    this.#offer.replaceChildren(
      h('p', { class: 'soft' }, 'For the other device to type, or to scan with its camera. It works once, for two minutes.'),
      h(
        'div',
        { class: 'idle' },
        h('button', { class: 'primary', id: 'show-code', onclick: () => void this.showCode() }, 'Show a code'),
      ),
    )
  }

  #drawCode(session: Session, code: string, expiresAt: number): void {
    const link = `${HERE}/#${code}`
    const left = h('span', { class: 'left' })
    const copy = h('button', { onclick: () => this.#app.copy(link, 'Link copied.') }, icon('copy'), 'Copy link')
    const share = 'share' in navigator && h('button', { onclick: () => void navigator.share({ url: link }).catch(() => {}) }, icon('share'), 'Share')
    const [digits = '', ...words] = code.split('-')
    const shownCode = h('output', { class: 'code', id: 'shown-code', 'aria-label': 'The code' }, h('span', { class: 'digits' }, digits), words.length > 0 && h('span', { class: 'words' }, `-${words.join('-')}`))
    this.#offer.replaceChildren(
      h(
        'div',
        { class: 'shown' },
        qr(link),
        h(
          'div',
          { class: 'beside' },
          shownCode,
          h('p', { class: 'soft' }, left),
          session.staged > 0 && h('p', { class: 'staged' }, icon('file'), plural(session.staged, 'item'), ' will be offered'),
          h('div', { class: 'buttons' }, copy, share, h('button', { class: 'quiet', onclick: () => this.cancel() }, 'Cancel')),
        ),
      ),
    )
    announce(`The code is ${code.replaceAll('-', ' ')}`)
    clearInterval(this.#countdown)
    const tick = () => say(left, `Waiting for the other device · ${clock((expiresAt - Date.now()) / 1000)}`)
    tick()
    this.#countdown = setInterval(tick, 1000)
  }

  #submit(event: Event): void {
    event.preventDefault()
    if (this.#joining) return this.#joining.abort()
    void this.#tryCode(this.#input.value)
  }

  async #tryCode(code: string): Promise<void> {
    this.#problem.textContent = ''
    if (code.trim() === '') {
      this.#problem.textContent = 'Type the code that the other device shows.'
      this.#input.focus()
      return
    }
    const attempt = (this.#joining = new AbortController())
    this.#join.textContent = 'Cancel'
    this.#join.classList.add('working')
    const session = new Session()
    try {
      await session.client.pair(code, { signal: attempt.signal })
      await session.client.connected({ signal: attempt.signal })
      this.#input.value = ''
      this.#app.adopt(session)
    } catch (error) {
      void session.leave()
      if (!attempt.signal.aborted) {
        this.#problem.textContent = sentence(message(error))
        this.#input.setAttribute('aria-invalid', 'true')
        this.#input.focus()
      }
    } finally {
      this.#joining = null
      this.#join.textContent = 'Connect'
      this.#join.classList.remove('working')
      if (this.#problem.textContent === '') this.#input.removeAttribute('aria-invalid')
    }
  }

  #server(): string {
    return HERE === 'http://localhost:3000' ? '' : ` --server ${HERE}`
  }
}

/** How a session stands, in one word for the style and in some for people. */
export function presence(session: Session): ['on' | 'off' | 'wait' | 'end', string] {
  switch (session.phase) {
    case 'connected':
      return ['on', session.client.status.path === 'webrtc' ? 'here · direct' : 'here · by relay']
    case 'away':
      return ['off', 'away']
    case 'ended':
      return ['end', session.ending]
    case 'meeting':
    case 'waiting':
      return ['wait', session.client.status.server === 'connected' ? 'not here yet' : 'reaching the server …']
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`
}

/** Dark on light in every theme: scanners want it so. */
function qr(text: string): Element {
  const { data, size } = encode(text, { ecc: 'M', border: 2 })
  let path = ''
  data.forEach((row, y) => row.forEach((dark, x) => (path += dark ? `M${x} ${y}h1v1h-1z` : '')))
  return h(
    'div',
    { class: 'qr' },
    svg(
      'svg',
      { viewBox: `0 0 ${size} ${size}`, role: 'img', 'aria-label': 'The same as a QR code', 'shape-rendering': 'crispEdges' },
      svg('path', { d: path }),
    ),
  )
}
