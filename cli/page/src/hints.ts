/** What a conversation says of itself while there is nothing to show, or nothing to write. */

import { h, icon, show } from './dom.js'
import type { Session } from './session.js'

/** What can be done in a conversation where nothing was done yet. */
export class Beginning {
  readonly element = h('div', { class: 'empty' })
  readonly #session: Session
  #drawn = ''

  constructor(session: Session) {
    this.#session = session
  }

  /** Draws what changed. */
  draw(): void {
    const { canChat, isOpen, items, other } = this.#session
    show(this.element, isOpen && (canChat || other.takesFiles) && items.every((it) => it.kind === 'note'))
    const files = matchMedia('(pointer: fine)').matches ? 'drop files and folders here' : 'attach files'
    const words = [canChat && 'say something', other.takesFiles && files].filter(Boolean).join(', or ')
    if (this.#drawn === words) return
    this.#drawn = words
    this.element.replaceChildren(
      h('span', { class: 'drop-icon' }, icon(canChat ? 'talk' : 'clip')),
      h('p', {}, `${words}.`.replace(/^./, (it) => it.toUpperCase())),
    )
  }
}

/** What stands where a message is written: why there can be none, in as few words as a narrow phone has room for. */
export function placeholder({ phase, isOpen, canChat, other }: Session): string {
  if (phase === 'elsewhere') return 'In another tab'
  if (!isOpen) return 'Ended'
  if (canChat) return 'Message'
  if (other.command === 'send') return 'Sends files only'
  return other.takesFiles ? 'Takes files only' : 'No messages here'
}
