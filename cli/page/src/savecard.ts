/** Saving the other device: the form for it, and the card that shows the form when a terminal waits for that. */

import { h, icon, say, show } from './dom.js'
import type { Session } from './session.js'

/** A name and a button; `save` is called with the name. */
export function saveForm(session: Session, label: string, isFirst: boolean, save: (name: string) => void): HTMLFormElement {
  const name = h('input', { type: 'text', id: 'device-name', value: session.other.suggestedName, maxlength: 60, autocomplete: 'off' })
  const submit = (event: Event) => {
    event.preventDefault()
    save(name.value.trim() || session.other.suggestedName || 'The other device')
  }
  return h(
    'form',
    { class: 'save-form', onsubmit: submit },
    h('label', { for: 'device-name' }, label),
    h('div', { class: 'save-row' }, name, h('button', { type: 'submit', id: 'save-device', class: isFirst ? 'primary' : '' }, icon('save'), 'Save')),
  )
}

/** See the module. */
export class SaveCard {
  readonly element: HTMLElement
  readonly #session: Session
  readonly #title = h('strong')
  readonly #words = h('p', { class: 'transfer-state' })
  readonly #form: HTMLFormElement

  constructor(session: Session, save: (name: string) => void) {
    this.#session = session
    this.#form = saveForm(session, 'Its name on this page', true, save)
    this.element = h(
      'article',
      { class: 'transfer theirs', 'aria-label': 'Save this device' },
      h('header', {}, h('span', { class: 'transfer-icon' }, icon('save')), h('div', { class: 'transfer-title' }, this.#title)),
      this.#words,
      this.#form,
    )
    this.draw()
  }

  /** Draws what changed. */
  draw(): void {
    const { saved, isAskedToSave, canSave } = this.#session
    const asks = isAskedToSave && canSave
    show(this.#form, asks)
    show(this.#words, asks || saved)
    say(this.#title, asks ? 'Save this device' : saved ? 'Saved' : 'Not saved')
    if (asks) say(this.#words, 'The terminal has saved this pairing, and waits for you to save it, too. From then on, no code is needed.')
    else say(this.#words, 'From now on, the two devices meet without a code.')
  }
}
