/** Questions that have to be answered before anything else. */

import { h, icon } from './dom.js'

/** Asks; resolves to whether the answer is yes. Escape is no. */
export function ask(question: string, detail: string, yes: string, no: string): Promise<boolean> {
  return new Promise((resolve) => {
    const refuse = h('button', { autofocus: true, onclick: () => dialog.close('no') }, no)
    const agree = h('button', { class: 'alarm', onclick: () => dialog.close('yes') }, yes)
    const dialog = h(
      'dialog',
      { class: 'dialog', 'aria-labelledby': 'dialog-title' },
      h('h2', { id: 'dialog-title' }, question),
      h('p', { class: 'soft' }, detail),
      h('div', { class: 'buttons' }, agree, refuse),
    )
    open(dialog, () => resolve(dialog.returnValue === 'yes'))
  })
}

/** Shows the words that are the same on both devices; `same` is called if a person says so. */
export function verify(phrase: string | null, isVerified: boolean, same: () => void): void {
  const yes = () => {
    same()
    dialog.close()
  }
  const dialog = h(
    'dialog',
    { class: 'dialog', 'aria-labelledby': 'dialog-title' },
    h('h2', { id: 'dialog-title' }, 'The same words on both?'),
    h('p', { class: 'soft' }, 'Compare them by voice or by sight. If they are the same, nobody is in between: not even the server can read what you send.'),
    words(phrase),
    h(
      'div',
      { class: 'buttons' },
      phrase !== null && !isVerified && h('button', { class: 'primary', onclick: yes }, icon('check'), 'They are the same'),
      h('button', { onclick: () => dialog.close() }, isVerified || phrase === null ? 'Close' : 'Not now'),
    ),
    phrase !== null && !isVerified && h('p', { class: 'soft small' }, 'If they differ, hang up, and pair again with another code.'),
  )
  open(dialog, () => {})
}

/** The words of a phrase. */
export function words(phrase: string | null): HTMLElement {
  const parts = phrase ? phrase.split(/[\s-]+/).map((word) => h('span', {}, word)) : ['As soon as the other device is there.']
  return h('p', { class: 'phrase' }, ...parts)
}

function open(dialog: HTMLDialogElement, closed: () => void): void {
  document.body.append(dialog)
  dialog.addEventListener('close', () => {
    dialog.remove()
    closed()
  })
  dialog.showModal()
}
