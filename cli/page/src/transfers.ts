/** One transfer, as a card in the conversation. */

import type { IncomingTransfer, TransferProgress } from 'peersox'
import { announce, h, icon, say, show } from './dom.js'
import { bytes, clock, plural, rate } from './format.js'
import { CAN_PICK, HAS_PRIVATE, download, downloads, pick, place } from './saving.js'
import { type Item, message, type Session } from './session.js'

type TransferItem = Item & { kind: 'transfer' }

/** Above this, a place on the disk is asked for first where that is possible: what is there needs no copy. */
const LARGE = 1_000_000_000

/** How many names are listed. */
const MAX_NAMES = 200

/** See the module. */
export class TransferCard {
  readonly element: HTMLElement
  readonly #session: Session
  readonly #item: TransferItem
  readonly #state = h('p', { class: 'transfer-state' })
  readonly #bar = h('progress', { max: 1, value: 0 })
  readonly #numbers = h('p', { class: 'numbers soft' })
  readonly #buttons = h('div', { class: 'buttons' })
  readonly #saves = h('ul', { class: 'saves', hidden: true })
  readonly #problem = h('p', { class: 'problem', role: 'alert' })
  readonly #list: HTMLElement | null
  #drawn = ''
  readonly #verified = h('span', { class: 'verified', hidden: true })

  constructor(session: Session, item: TransferItem) {
    this.#session = session
    this.#item = item
    const { transfer, mine } = item
    const files = transfer.entries.filter((it) => it.kind === 'file')
    const first = transfer.entries[0]
    const folder = first && first.path.length > 1 ? first.path[0] : null
    const title =
      transfer.entries.length === 1 && first
        ? first.name
        : folder && transfer.entries.every((it) => it.path[0] === folder)
          ? `${folder}/`
          : plural(files.length, 'file')
    const size = transfer.totalBytes === null ? 'size unknown' : bytes(transfer.totalBytes)
    this.#list = transfer.entries.length > 1 ? this.#names() : null
    this.#bar.setAttribute('aria-label', `Progress of ${title}`)
    this.element = h(
      'article',
      { class: `transfer ${mine ? 'mine' : 'theirs'}`, 'aria-label': `${mine ? 'Sending' : 'Receiving'} ${title}` },
      h(
        'header',
        {},
        h('span', { class: 'transfer-icon' }, icon(transfer.entries.length > 1 ? 'folder' : 'file')),
        h(
          'div',
          { class: 'transfer-title' },
          h('strong', {}, title),
          h('span', { class: 'soft' }, title.endsWith('/') ? `${plural(files.length, 'file')} · ${size}` : size),
        ),
        this.#verified,
      ),
      this.#state,
      this.#bar,
      this.#numbers,
      this.#problem,
      this.#saves,
      this.#buttons,
      this.#list,
    )
    this.draw()
  }

  /** Draws what changed. */
  draw(): void {
    const { transfer, mine } = this.#item
    const { state, progress } = transfer
    const peer = this.#session.title
    const taken = this.#item.destination !== null
    const away = this.#session.phase === 'away'
    const key = `${state} ${taken}`
    const words: Record<typeof state, string> = {
      offered: mine ? `Waiting for ${peer} to accept` : taken ? 'Starting …' : `${peer} would like to send you this`,
      active: away ? `Goes on when ${peer} is back` : mine ? `Sending ${this.#way()}` : `Receiving ${this.#way()}`,
      paused: 'Paused',
      interrupted: `Interrupted: goes on when ${peer} is back`,
      done: mine ? 'Sent and verified' : 'Received and verified',
      declined: mine ? `${peer} declined` : 'Declined',
      cancelled: 'Cancelled',
      failed: 'Failed',
    }
    say(this.#state, words[state])
    const moving = state === 'active' || state === 'paused' || state === 'interrupted'
    show(this.#bar, moving)
    show(this.#numbers, moving || (state === 'done' && progress.bytesResumed > 0))
    this.#drawNumbers(progress, state)
    if (this.#drawn === key) return
    if (this.#drawn !== '') announce(`${this.element.getAttribute('aria-label')}: ${words[state]}`)
    this.#drawn = key
    this.element.dataset['state'] = state
    this.#drawButtons()
    if (state === 'failed' || state === 'cancelled' || state === 'declined') {
      transfer.done.catch((error: unknown) => say(this.#problem, state === 'failed' ? message(error) : ''))
    }
    if (state === 'done') {
      say(this.#verified, 'BLAKE3')
      this.#verified.prepend(icon('check'))
      show(this.#verified, true)
      if (!mine) void this.#drawSaves()
    }
  }

  #way(): string {
    return this.#session.client.status.path === 'webrtc' ? 'directly' : 'over the relay'
  }

  #drawNumbers(progress: TransferProgress, state: string): void {
    const total = progress.bytesTotal
    if (total === null) this.#bar.removeAttribute('value')
    else this.#bar.value = total === 0 ? 1 : progress.bytesDone / total
    const moving = state === 'active' && this.#session.phase === 'connected'
    if (state === 'done') {
      return say(this.#numbers, `${bytes(progress.bytesResumed)} of it was here already`)
    }
    const parts = [
      total === null ? bytes(progress.bytesDone) : `${bytes(progress.bytesDone)} of ${bytes(total)}`,
      progress.filesTotal > 1 && `file ${Math.min(progress.filesDone + 1, progress.filesTotal)} of ${progress.filesTotal}`,
      moving && rate(progress.rate),
      moving && progress.eta !== null && `${clock(progress.eta)} left`,
    ]
    say(this.#numbers, parts.filter(Boolean).join(' · '))
  }

  #drawButtons(): void {
    const { transfer, mine } = this.#item
    const button = (name: string, text: string, act: () => void, kind = '') =>
      h('button', { class: kind, onclick: act }, icon(name), text)
    const cancel = () => button('close', 'Cancel', () => transfer.cancel(), 'quiet')
    const had = this.#buttons.contains(document.activeElement)
    let buttons: HTMLElement[] = []
    switch (transfer.state) {
      case 'offered':
        if (mine) buttons = [cancel()]
        else if (this.#item.destination === null) buttons = this.#acceptButtons(button)
        break
      case 'active':
        buttons = [button('pause', 'Pause', () => transfer.pause()), cancel()]
        break
      case 'paused':
        buttons = [button('play', 'Resume', () => transfer.resume(), 'primary'), cancel()]
        break
      case 'interrupted':
        buttons = [cancel()]
        break
      case 'done':
      case 'declined':
      case 'cancelled':
      case 'failed':
        break
    }
    this.#buttons.replaceChildren(...buttons)
    if (had) (buttons[0] ?? this.element.closest<HTMLElement>('[tabindex]'))?.focus()
  }

  #acceptButtons(button: (name: string, text: string, act: () => void, kind?: string) => HTMLElement): HTMLElement[] {
    const incoming = this.#item.transfer as IncomingTransfer
    const large = CAN_PICK && (incoming.totalBytes === null || incoming.totalBytes > LARGE)
    const accept = button('down', 'Accept', () => void this.#acceptHere(), large ? '' : 'primary')
    const choose = button('folder', 'Save to …', () => void this.#acceptPicked(), large ? 'primary' : '')
    const decline = button('close', 'Decline', () => incoming.decline(), 'quiet')
    if (!HAS_PRIVATE) {
      this.#buttons.before(h('p', { class: 'soft small' }, 'This browser can only hold files in memory here, up to 512 MB.'))
    }
    if (!CAN_PICK) return [accept, decline]
    return large ? [choose, accept, decline] : [accept, choose, decline]
  }

  async #acceptHere(): Promise<void> {
    const destination = await place(this.#item.transfer.totalBytes)
    if (typeof destination === 'string') return say(this.#problem, destination)
    await this.#session.accept(this.#item, destination)
  }

  async #acceptPicked(): Promise<void> {
    try {
      const destination = await pick(this.#item.transfer.entries)
      if (destination) await this.#session.accept(this.#item, destination)
    } catch (error) {
      say(this.#problem, message(error))
    }
  }

  async #drawSaves(): Promise<void> {
    const destination = this.#item.destination
    if (!destination) return
    const files = await downloads(destination)
    if (files.length === 0) return
    const flat = (path: readonly string[]) => path.join(' - ')
    const [only] = files
    if (files.length === 1 && only) download(only.entry.name, only.blob)
    const rows = files.slice(0, MAX_NAMES).map(({ entry, blob }) =>
      h(
        'li',
        {},
        h('button', { class: 'link', onclick: () => download(flat(entry.path), blob) }, icon('down'), `Save ${entry.path.join('/')}`),
        blob.type === '' && isPicture(entry.name) && blob.size < 20_000_000 && preview(entry.name, blob),
      ),
    )
    this.#saves.replaceChildren(...rows)
    show(this.#saves, true)
    // The names are there once more.
    this.#list?.remove()
    if (files.length > 1) {
      const all = () => files.forEach(({ entry, blob }) => download(flat(entry.path), blob))
      this.#buttons.replaceChildren(h('button', { class: 'primary', onclick: all }, icon('down'), 'Save all'))
    }
  }

  #names(): HTMLElement {
    const entries = this.#item.transfer.entries
    const list = h('ul', {})
    const details = h('details', { class: 'names' }, h('summary', {}, 'Names'), list)
    details.addEventListener('toggle', () => {
      if (!details.open || list.childElementCount > 0) return
      for (const entry of entries.slice(0, MAX_NAMES)) {
        list.append(h('li', {}, h('span', {}, entry.path.join('/')), h('span', { class: 'soft' }, entry.size === null ? '' : bytes(entry.size))))
      }
      if (entries.length > MAX_NAMES) list.append(h('li', {}, `and ${plural(entries.length - MAX_NAMES, 'more', 'more')}`))
    })
    return details
  }
}

const PICTURES: Record<string, string> = { jpg: 'jpeg', jpeg: 'jpeg', png: 'png', gif: 'gif', webp: 'webp', avif: 'avif' }

function isPicture(name: string): boolean {
  return endingOf(name) in PICTURES
}

function endingOf(name: string): string {
  return name.split('.').at(-1)?.toLowerCase() ?? ''
}

function preview(name: string, blob: Blob): HTMLElement {
  const url = URL.createObjectURL(blob.slice(0, blob.size, `image/${PICTURES[endingOf(name)]}`))
  const picture = h('img', { src: url, alt: '', class: 'preview' })
  const done = () => URL.revokeObjectURL(url)
  picture.addEventListener('load', done)
  picture.addEventListener('error', () => {
    done()
    picture.remove()
  })
  return picture
}
