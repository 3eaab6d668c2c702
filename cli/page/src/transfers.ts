/** One transfer, as a card in the conversation. */

import { ChannelResetError, ClosedError, type IncomingTransfer, type TransferProgress } from 'peersox'
import { ask } from './dialogs.js'
import { announce, h, icon, say, show } from './dom.js'
import { folderOf, names, packButton, savables, titleOf, warnings } from './files.js'
import { bytes, clock, plural, rate } from './format.js'
import type { TransferItem } from './items.js'
import { CAN_PICK, discard, download, downloads, HAS_PRIVATE, heldBytes, noteSaved, pick, place, whyNoPlace } from './saving.js'
import type { Session } from './session.js'
import { settings } from './settings.js'
import { cleanName, fileName, message } from './text.js'

/** Above this, a place on the disk is asked for first where that is possible: what is there needs no copy. */
const LARGE = 1_000_000_000

/** As many files are saved by themselves if a person wants that. */
const MAX_AT_ONCE = 20

/** See the module. */
export class TransferCard {
  readonly element: HTMLElement
  readonly #session: Session
  readonly #item: TransferItem
  readonly #title: string
  readonly #state = h('p', { class: 'transfer-state' })
  readonly #bar = h('progress', { max: 1, value: 0 })
  readonly #numbers = h('p', { class: 'numbers soft' })
  readonly #buttons = h('div', { class: 'buttons' })
  readonly #reason = h('p', { class: 'soft small reason' })
  readonly #saves = h('ul', { class: 'saves', hidden: true })
  readonly #problem = h('p', { class: 'problem', role: 'alert' })
  readonly #names: HTMLElement | null
  readonly #warnings: HTMLElement | null
  readonly #verified = h('span', { class: 'verified', hidden: true }, icon('check'), 'Verified')
  #drawn = ''
  #isOver = false

  constructor(session: Session, item: TransferItem) {
    this.#session = session
    this.#item = item
    const { transfer, mine } = item
    const files = transfer.entries.filter((it) => it.kind === 'file')
    const folder = folderOf(transfer.entries)
    const title = (this.#title = titleOf(transfer.entries))
    const size = transfer.totalBytes === null ? 'size unknown' : bytes(transfer.totalBytes)
    this.#names = transfer.entries.length > 1 || folder !== null ? names(transfer.entries) : null
    this.#warnings = mine ? null : warnings(transfer.entries)
    this.#bar.setAttribute('aria-label', `Progress of ${title}`)
    this.element = h(
      'article',
      { class: `transfer ${mine ? 'mine' : 'theirs'}`, 'aria-label': `${mine ? 'Sending' : 'Receiving'} ${title}` },
      h(
        'header',
        {},
        h('span', { class: 'transfer-icon' }, icon(transfer.entries.length > 1 || folder !== null ? 'folder' : 'file')),
        h(
          'div',
          { class: 'transfer-title' },
          h('strong', {}, h('bdi', {}, title)),
          h('span', { class: 'soft' }, folder !== null ? `${plural(files.length, 'file')} · ${size}` : size),
        ),
        this.#verified,
      ),
      this.#state,
      this.#bar,
      this.#numbers,
      this.#names,
      this.#warnings,
      this.#problem,
      this.#saves,
      this.#reason,
      this.#buttons,
    )
    this.draw()
  }

  /** Draws what changed. */
  draw(): void {
    const { transfer, isStopped, destination, unsaved } = this.#item
    const state = isStopped && transfer.state !== 'done' ? 'cancelled' : transfer.state
    const words = this.#words(state)
    say(this.#state, words)
    const moving = state === 'active' || state === 'paused' || state === 'interrupted'
    show(this.#bar, moving)
    show(this.#numbers, moving || (state === 'done' && transfer.progress.bytesResumed > 0))
    this.#drawNumbers(transfer.progress, state)
    const held = state === 'offered' ? heldBytes() : 0
    const key = [state, this.#isPausedThere, destination !== null, held, unsaved, this.#session.phase === 'ended'].join()
    if (this.#drawn === key) return
    if (this.#drawn !== '' && this.element.dataset['state'] !== state) announce(`${this.element.getAttribute('aria-label')}: ${words}`)
    this.#drawn = key
    this.element.dataset['state'] = state
    this.#drawButtons(state)
    if (this.#isOver || !['done', 'failed', 'cancelled', 'declined'].includes(state)) return
    this.#isOver = true
    if (state === 'done') show(this.#verified, true)
    if (state === 'failed') transfer.done.catch((error: unknown) => say(this.#problem, whyBroken(error)))
    if (this.#warnings) show(this.#warnings, false)
    // What was complete before the rest was broken off can be saved, too.
    if (!this.#item.mine) void this.#arrived(state === 'done')
  }

  #words(state: string): string {
    const { mine, destination, unsaved } = this.#item
    const { name: peer, title } = this.#session.other
    const isAway = this.#session.phase === 'away'
    switch (state) {
      case 'offered':
        if (mine) return `Waiting for ${peer} to accept`
        return destination ? 'Starting …' : `${title}${this.#host} would like to send you this`
      case 'active':
        if (isAway) return `Goes on when ${peer} is back`
        if (this.#isPausedThere) return `Paused by ${peer}`
        return `${mine ? 'Sending' : 'Receiving'} ${this.#session.client.status.path === 'webrtc' ? 'directly' : 'over the relay'}`
      case 'paused':
        return 'Paused by you'
      case 'interrupted':
        return `Interrupted: goes on when ${peer} is back`
      case 'done':
        if (mine) return this.#session.other.isProgram ? 'Sent: stored there and verified' : 'Sent and verified: the other side has it, and can save it'
        if (destination?.kind === 'folder' || destination?.kind === 'file') return 'Received, verified and saved'
        return unsaved > 0 ? 'Received and verified, not saved yet' : 'Received and verified; given to your downloads'
      case 'declined':
        return mine ? `${title} declined` : 'Declined'
      case 'failed':
        return mine ? 'Not sent' : 'Not received'
      default:
        return 'Cancelled'
    }
  }

  /** The machine of the sender, as a program tells it. */
  get #host(): string {
    const host = cleanName((this.#item.transfer as IncomingTransfer).device)
    return host && host !== this.#session.other.ownName ? ` at “${host}”` : ''
  }

  get #isPausedThere(): boolean {
    return this.#item.transfer.pausedThere
  }

  #drawNumbers(progress: TransferProgress, state: string): void {
    const total = progress.bytesTotal
    if (total === null) this.#bar.removeAttribute('value')
    else this.#bar.value = total === 0 ? 1 : progress.bytesDone / total
    const moving = state === 'active' && this.#session.phase === 'connected' && !this.#isPausedThere
    this.#bar.classList.toggle('still', !moving)
    if (state === 'done') return say(this.#numbers, `${bytes(progress.bytesResumed)} of it was here already`)
    const parts = [
      total === null ? bytes(progress.bytesDone) : `${bytes(progress.bytesDone)} of ${bytes(total)}`,
      progress.filesTotal > 1 && `file ${Math.min(progress.filesDone + 1, progress.filesTotal)} of ${progress.filesTotal}`,
      moving && rate(progress.rate),
      moving && progress.eta !== null && `${clock(progress.eta)} left`,
    ]
    say(this.#numbers, parts.filter(Boolean).join(' · '))
  }

  #drawButtons(state: string): void {
    const { transfer, mine, destination, given } = this.#item
    const had = this.#buttons.contains(document.activeElement)
    const isOpen = this.#session.phase !== 'ended'
    const cancel = () => button('close', 'Cancel', () => this.#session.stop(this.#item), 'quiet')
    say(this.#reason, '')
    let buttons: HTMLElement[] = []
    switch (state) {
      case 'offered':
        if (!isOpen) break
        if (mine) buttons = [cancel()]
        else if (destination === null) buttons = this.#acceptButtons()
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
      case 'failed':
      case 'cancelled':
      case 'declined':
        if (mine && isOpen) buttons = [button('again', 'Send again', () => void this.#session.offer([...given]))]
        else if (state === 'failed' && isOpen) say(this.#reason, 'What has come is kept: when the same is sent again, it goes on there.')
        break
    }
    this.#buttons.replaceChildren(...buttons, ...this.#after)
    if (had) (buttons[0] ?? this.element.closest<HTMLElement>('[tabindex]'))?.focus()
  }

  #acceptButtons(): HTMLElement[] {
    const incoming = this.#item.transfer as IncomingTransfer
    const total = incoming.totalBytes
    const large = CAN_PICK && (total === null || total > LARGE)
    const accept = button('down', 'Accept', () => void this.#acceptHere(), large ? '' : 'primary')
    const choose = button('folder', 'Save to …', () => void this.#acceptPicked(), large ? 'primary' : '')
    const decline = button('close', 'Decline', () => incoming.decline(), 'quiet')
    // What cannot work is not enabled, and says why.
    accept.disabled = true
    void whyNoPlace(total).then((why) => {
      accept.disabled = why !== null
      accept.classList.toggle('primary', why === null && !large)
      choose.classList.toggle('primary', why !== null || large)
      if (this.#item.destination) return
      say(this.#reason, why ?? (HAS_PRIVATE ? '' : 'This browser can only hold files in memory here, up to 512 MB: save them before you leave the page.'))
    })
    if (!CAN_PICK) return [accept, decline]
    return large ? [choose, accept, decline] : [accept, choose, decline]
  }

  async #acceptHere(): Promise<void> {
    const session = this.#session
    const destination = await place(this.#item.transfer as IncomingTransfer, { pairing: session.pairing?.id ?? null, title: session.other.name })
    if (typeof destination === 'string') return say(this.#problem, destination)
    await session.accept(this.#item, destination)
  }

  async #acceptPicked(): Promise<void> {
    try {
      const destination = await pick(this.#item.transfer.entries)
      if (destination) await this.#session.accept(this.#item, destination)
    } catch (error) {
      say(this.#problem, message(error))
    }
  }

  /** Offers what has arrived, and saves it by itself if it is little. */
  async #arrived(isAll: boolean): Promise<void> {
    const { destination } = this.#item
    if (!destination) return
    const files = await downloads(destination).catch(() => [])
    this.#item.unsaved = files.length
    if (files.length > 0) {
      if (isAll && files.length <= (settings().saveAll ? MAX_AT_ONCE : 1)) files.forEach((file) => this.#save(file))
      this.#drawSaves(files)
    }
    this.#session.touched()
  }

  readonly #saved = new Set<number>()
  /** Buttons for what has arrived. */
  #after: HTMLElement[] = []

  #save({ entry, blob }: Received): void {
    download(fileName(entry.path), blob)
    this.#noteSaved({ entry })
  }

  #noteSaved({ entry }: Pick<Received, 'entry'>): void {
    this.#saved.add(entry.index)
    const { destination } = this.#item
    if (destination) void noteSaved(destination, entry.index)
  }

  #drawSaves(files: readonly Received[]): void {
    const again = () => {
      this.#drawSaves(files)
      this.#session.touched()
    }
    this.#item.unsaved = files.filter((it) => !this.#saved.has(it.entry.index)).length
    const rows = savables(
      files.map((file) => ({
        path: file.entry.path,
        size: file.blob.size,
        isSaved: this.#saved.has(file.entry.index),
        save: () => {
          this.#save(file)
          again()
        },
        preview: this.#preview(file),
      })),
    )
    this.#saves.replaceChildren(...rows)
    show(this.#saves, true)
    // The names are there once more.
    this.#names?.remove()
    const all = () => {
      files.forEach((file) => this.#save(file))
      again()
    }
    const remove = async () => {
      const { destination, unsaved } = this.#item
      const what = unsaved > 0 ? 'Not all of it was saved.' : 'If it did not come to your downloads, it is gone then.'
      if (!(await ask('Remove it from this browser?', what, 'Remove', 'Keep'))) return
      if (destination) void discard(destination)
      this.#item.unsaved = 0
      this.#saves.replaceChildren(h('li', { class: 'soft' }, 'Removed from this browser.'))
      this.#after = []
      this.#buttons.replaceChildren()
      this.#session.touched()
    }
    this.#after = [button('trash', 'Remove', () => void remove(), 'quiet')]
    if (files.length > 1) {
      const isOpen = this.#item.unsaved > 0
      const hasFolders = files.some((it) => it.entry.path.length > 1)
      const listed = files.map(({ entry, blob }) => ({ path: entry.path, size: blob.size }))
      const packed = async () => files.map(({ entry, blob }) => ({ path: entry.path, blob, modified: entry.modified }))
      const zip = packButton(listed, isOpen && hasFolders, packed, () => {
        files.forEach((file) => this.#noteSaved(file))
        again()
      })
      const each = button('down', 'Save all', all, isOpen && !(zip && hasFolders) ? 'primary' : '')
      this.#after.unshift(...(zip && hasFolders ? [zip, each] : zip ? [each, zip] : [each]))
    }
    this.#buttons.replaceChildren(...this.#after)
  }

  readonly #previews = new Map<number, HTMLElement>()

  #preview({ entry, blob }: Received): HTMLElement | null {
    if (blob.type !== '' || !isPicture(entry.name) || blob.size >= 20_000_000) return null
    const there = this.#previews.get(entry.index) ?? preview(entry.name, blob)
    this.#previews.set(entry.index, there)
    return there
  }
}

type Received = Awaited<ReturnType<typeof downloads>>[number]

/** What became of the other side, where the client can only tell what became of a channel. */
function whyBroken(error: unknown): string {
  const cause = error instanceof Error ? error.cause : null
  const wasStopped = cause instanceof ChannelResetError && cause.resetCode === STOPPED
  const wasLeft = cause instanceof ClosedError && cause.reason === 'peer-closed'
  return wasStopped || wasLeft ? 'The other side stopped before everything had arrived.' : message(error)
}

/** A channel is reset with it by a program that ends. */
const STOPPED = 0

function button(name: string, text: string, act: () => void, kind = ''): HTMLButtonElement {
  return h('button', { class: kind, onclick: act }, icon(name), text)
}

const PICTURES: Record<string, string> = { jpg: 'jpeg', jpeg: 'jpeg', png: 'png', gif: 'gif', webp: 'webp', avif: 'avif' }

function isPicture(name: string): boolean {
  return Object.hasOwn(PICTURES, endingOf(name))
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
