/** What another app has shared, and the question to whom it goes. */

import { h, icon } from './dom.js'
import { presence } from './presence.js'
import { list, MAX_QUOTE } from './sending.js'
import type { Session } from './session.js'
import type { Shared } from './shared.js'
import { clip } from './text.js'

/** A device as a button: its name, how it stands, and what is new. */
export function deviceRow(session: Session, act: () => void): HTMLElement {
  const [state, words] = presence(session)
  return h(
    'li',
    {},
    h(
      'button',
      { class: 'device-row', 'data-state': state, onclick: act },
      h('span', { class: 'dot', 'aria-hidden': 'true' }),
      h('span', { class: 'device-name' }, session.other.title),
      session.unread > 0 && h('span', { class: 'badge' }, `${session.unread.toLocaleString('en')} new`),
      h('span', { class: 'soft device-state' }, words),
      icon('next'),
    ),
  )
}

/** What the card asks of the page around it. */
export interface Choices {
  /** It goes to a device that is known. */
  choose(session: Session): void
  /** It goes to whoever types a new code. */
  showCode(): void
  /** Nothing is to be done with it any more. */
  done(): void
}

/** See the module. */
export class ShareCard {
  readonly element: HTMLElement
  readonly #choices: Choices
  readonly #title: HTMLElement
  #drawn: string | null = null
  readonly #devices = h('ul', { class: 'share-devices' })

  /** A string says why nothing has arrived, as the page's address does. */
  constructor(what: Shared | string, choices: Choices) {
    this.#choices = choices
    const failed = typeof what === 'string'
    this.#title = h('h2', { id: 'share-title', tabindex: -1 }, failed ? 'Nothing was taken over' : 'Send what you shared')
    const close = (name: string, text: string) => h('button', { class: 'quiet', onclick: () => choices.done() }, icon(name), text)
    this.element = h(
      'section',
      { class: 'card share-card', 'aria-labelledby': 'share-title' },
      this.#title,
      ...(failed
        ? [h('p', { class: 'problem', role: 'alert' }, WHY[what] ?? WHY['failed']), h('div', { class: 'buttons' }, close('close', 'Close'))]
        : [
            what.files.length > 0 && list(what.files),
            what.text !== '' && h('p', { class: 'staged quote', dir: 'auto' }, clip(what.text, MAX_QUOTE)),
            h('p', { class: 'soft small' }, 'Another app gave this to the page. Nothing of it leaves this device before you say to whom.'),
            this.#devices,
            h('div', { class: 'buttons' }, h('button', { id: 'share-code', onclick: () => choices.showCode() }, 'Show a code for another device'), close('trash', 'Discard')),
          ]),
    )
  }

  /** Draws the devices that it can go to, if they have changed: a button that is being pressed stays. */
  draw(sessions: readonly Session[]): void {
    const key = sessions.map((it) => [it.pairing?.id, it.other.title, ...presence(it), it.unread].join()).join('\n')
    if (this.#drawn === key) return
    this.#drawn = key
    const focused = [...this.#devices.querySelectorAll('button')].indexOf(document.activeElement as HTMLButtonElement)
    this.#devices.replaceChildren(...sessions.map((it) => deviceRow(it, () => this.#choices.choose(it))))
    if (focused >= 0) this.#devices.querySelectorAll('button')[focused]?.focus()
    this.element.querySelector('#share-code')?.classList.toggle('primary', sessions.length === 0)
  }

  /** For people who listen: the question comes first. */
  focus(): void {
    this.#title.focus()
  }
}

/** Why nothing has arrived. The server says `none`, the service worker the others. */
const WHY: Record<string, string> = {
  none: 'This browser had not yet set up the page to take what other apps share. It has now: share it once more. The server did not keep it.',
  full: 'It is too much to hand over at once: at most 1,000 files and 4 GB, and the browser needs room for them. Choose the files here instead.',
  empty: 'The other app gave nothing that can be sent.',
  failed: 'The browser could not keep what the other app gave. Share it once more, or choose the files here.',
}
