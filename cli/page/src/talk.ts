/** The second view: a conversation, what is on its way, and how the connection does. */

import type { Sendable } from 'peersox'
import { announce, h, icon, say, show } from './dom.js'
import { bytes, millis, plural, rate, timeOfDay } from './format.js'
import { presence } from './home.js'
import { Plot, pathDrawing } from './plot.js'
import { download } from './saving.js'
import { type Item, message, type Session } from './session.js'
import { TransferCard } from './transfers.js'

/** What a conversation asks of the page around it. */
export interface TalkOwner {
  /** Shows the first view. */
  home(): void
  /** Lets go of a session that has ended. */
  remove(session: Session): void
}

/** See the module. */
export class Talk {
  readonly element: HTMLElement
  readonly session: Session
  readonly #app: TalkOwner
  readonly #cards: TransferCard[] = []
  readonly #log = h('div', { class: 'log', role: 'log', 'aria-label': 'Conversation', tabindex: 0 })
  readonly #empty = h('div', { class: 'empty' })
  readonly #title = h('h1', { tabindex: -1 })
  readonly #chip = h('span', { class: 'chip', role: 'status' })
  readonly #banner = h('div', { class: 'banner', role: 'status', hidden: true })
  readonly #text = h('textarea', { rows: 1, 'aria-label': 'Message', placeholder: 'Message', enterkeyhint: 'send' })
  readonly #send = h('button', { class: 'primary', type: 'submit', 'aria-label': 'Send' }, icon('send'))
  readonly #pickFiles = h('input', { type: 'file', multiple: true, hidden: true, id: 'files' })
  readonly #attach: HTMLButtonElement
  readonly #path = pathDrawing()
  readonly #pathWords = h('p', { class: 'path-words' })
  readonly #why = h('p', { class: 'soft small' })
  readonly #rtt = h('dd')
  readonly #down = h('dd')
  readonly #up = h('dd')
  readonly #plot = new Plot()
  readonly #peak = h('span', { class: 'peak' })
  readonly #phrase = h('p', { class: 'phrase' })
  readonly #device = h('div', { class: 'device-form' })
  #deviceDrawn = ''
  #last: { node: HTMLElement; item: Item } | null = null

  constructor(app: TalkOwner, session: Session) {
    this.#app = app
    this.session = session
    this.#attach = h(
      'button',
      { type: 'button', class: 'attach', 'aria-label': 'Send files', title: 'Send files', onclick: () => this.#pickFiles.click() },
      icon('clip'),
    )
    this.#pickFiles.addEventListener('change', () => {
      void session.offer([...(this.#pickFiles.files ?? [])])
      this.#pickFiles.value = ''
    })
    this.#text.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault()
        this.#submit()
      }
    })
    this.#text.addEventListener('input', () => this.#grow())
    this.element = h(
      'div',
      { class: 'talk' },
      h(
        'header',
        { class: 'talk-head' },
        h('button', { class: 'back', 'aria-label': 'All devices', onclick: () => app.home() }, icon('back')),
        h('div', { class: 'talk-title' }, this.#title, this.#chip),
      ),
      h(
        'div',
        { class: 'talk-main' },
        this.#banner,
        this.#log,
        h(
          'form',
          {
            class: 'composer',
            onsubmit: (event: Event) => {
              event.preventDefault()
              this.#submit()
            },
          },
          this.#attach,
          this.#pickFiles,
          this.#text,
          this.#send,
        ),
      ),
      this.#side(),
    )
    this.#log.append(this.#empty)
    for (const item of session.items) this.#add(item)
    this.draw()
  }

  /** A new item. */
  add(item: Item): void {
    this.#add(item)
    if (item.kind === 'text' && !item.mine) announce(`${this.session.title}: ${item.text}`)
    if (item.kind === 'transfer' && !item.mine) announce(`${this.session.title} offers ${plural(item.transfer.entries.length, 'item')}`)
  }

  /** Draws what changed. */
  draw(): void {
    const { session } = this
    const [state, words] = presence(session)
    say(this.#title, session.title)
    say(this.#chip, words)
    this.#chip.dataset['state'] = state
    this.#drawBanner()
    for (const card of this.#cards) card.draw()
    if (this.#last?.item.kind === 'text' && !this.#last.item.mine) {
      const text = this.#last.node.querySelector('.bubble')
      if (text) say(text, this.#last.item.text)
    }
    const open = session.phase !== 'ended'
    const chat = open && session.canChat
    this.#text.disabled = this.#send.disabled = !chat
    this.#attach.disabled = !open
    this.#text.placeholder = !open ? 'The conversation is over' : chat ? 'Message' : 'This program takes files only'
    show(this.#empty, session.items.every((it) => it.kind === 'note'))
    this.#drawEmpty()
    this.#drawConnection()
    this.#drawDevice()
  }

  /** Draws what was measured. */
  drawStats(): void {
    const { stats, samples } = this.session
    say(this.#rtt, millis(stats?.rtt ?? null))
    say(this.#down, rate(stats?.receiveRate ?? 0))
    say(this.#up, rate(stats?.sendRate ?? 0))
    this.#plot.draw(samples, this.#peak)
    this.#drawConnection()
  }

  /** For the keyboard: where typing goes. */
  focus(): void {
    if (!this.#text.disabled && matchMedia('(pointer: fine)').matches) this.#text.focus()
    else this.#title.focus()
  }

  /** Offers what was dropped. */
  drop(files: Sendable[]): void {
    void this.session.offer(files)
  }

  #submit(): void {
    const text = this.#text.value
    if (text.trim() === '' || this.#text.disabled) return
    this.session.say(text)
    this.#text.value = ''
    this.#grow()
  }

  #grow(): void {
    this.#text.rows = Math.min(6, this.#text.value.split('\n').length)
  }

  #add(item: Item): void {
    const atEnd = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 80
    const node = this.#node(item)
    this.#last = { node, item }
    this.#log.append(node)
    while (this.#log.childElementCount > 2_000) this.#log.children[1]?.remove()
    if (atEnd || ('mine' in item && item.mine)) this.#log.scrollTop = this.#log.scrollHeight
  }

  #node(item: Item): HTMLElement {
    const time = h('time', { datetime: new Date(item.at).toISOString() }, timeOfDay(item.at))
    switch (item.kind) {
      case 'note':
        return h('p', { class: 'note' }, item.text)
      case 'text': {
        const who = h('span', { class: 'sr' }, item.mine ? 'You: ' : `${this.session.title}: `)
        return h('div', { class: `line ${item.mine ? 'mine' : 'theirs'}` }, who, h('p', { class: 'bubble' }, item.text), time)
      }
      case 'bytes':
        return h(
          'div',
          { class: 'line theirs' },
          h('p', { class: 'bubble binary' }, h('button', { class: 'link', onclick: () => download('message.bin', item.blob) }, icon('down'), `A binary message, ${bytes(item.blob.size)}`)),
          time,
        )
      case 'transfer': {
        const card = new TransferCard(this.session, item)
        this.#cards.push(card)
        return card.element
      }
    }
  }

  #drawBanner(): void {
    const { session } = this
    const server = session.client.status.server
    let text = ''
    if (session.phase === 'away') {
      text = server === 'connected' ? `${session.title} is away. What you send waits for it.` : 'The server cannot be reached; trying again. Nothing is lost.'
    } else if (session.phase === 'waiting') {
      text = server === 'connected' ? `Waiting for ${session.title} to come back.` : 'Reaching the server …'
    } else if (session.phase === 'ended') {
      text = session.ending
    }
    if (session.staged > 0) text += ` ${plural(session.staged, 'item')} will be offered then.`
    const again = session.phase === 'ended' && session.pairing?.secret !== undefined && (session.saved || session.endedBy === 'replaced')
    const key = `${text} ${again}`
    if (this.#banner.dataset['key'] === key) return
    this.#banner.dataset['key'] = key
    this.#banner.replaceChildren(
      text,
      ...(again ? [h('button', { onclick: () => session.reconnect() }, 'Connect again')] : []),
      ...(session.phase === 'ended' && !again ? [h('button', { onclick: () => this.#app.remove(session) }, 'Pair anew')] : []),
    )
    show(this.#banner, text !== '')
  }

  #drawEmpty(): void {
    const { session } = this
    if (this.#empty.childElementCount > 0) return
    this.#empty.append(
      h('span', { class: 'drop-icon' }, icon('down')),
      h('p', {}, `${session.canChat ? 'Say something, or ' : ''}${matchMedia('(pointer: fine)').matches ? 'drop files and folders here' : 'attach files'}.`.replace(/^./, (it) => it.toUpperCase())),
    )
  }

  #side(): HTMLElement {
    const row = (name: string, value: HTMLElement, kind = '') => [h('dt', { class: kind }, name), value]
    const side = h(
      'aside',
      { class: 'side', 'aria-label': 'Connection' },
      h(
        'details',
        { class: 'side-fold', open: matchMedia('(min-width: 56rem)').matches },
        h('summary', {}, 'Connection'),
        h(
          'section',
          { 'aria-label': 'Path' },
          this.#path.element,
          this.#pathWords,
          this.#why,
        ),
        h(
          'section',
          { 'aria-label': 'Speed' },
          h('dl', { class: 'figures' }, ...[['Round trip', this.#rtt, ''], ['Receiving', this.#down, 'down'], ['Sending', this.#up, 'up']].map(([name, value, kind]) => h('div', {}, ...row(name as string, value as HTMLElement, kind as string)))),
          h('div', { class: 'plot-frame' }, this.#peak, this.#plot.element),
        ),
        h(
          'section',
          { 'aria-labelledby': 'phrase-title' },
          h('h2', { id: 'phrase-title' }, 'The same words on both?'),
          h('p', { class: 'soft small' }, 'Then nobody is in between: compare them by voice or by sight.'),
          this.#phrase,
        ),
        h('section', { 'aria-label': 'Device' }, this.#device),
      ),
    )
    return side
  }

  #drawConnection(): void {
    const { session } = this
    const path = session.phase === 'connected' ? session.client.status.path : null
    this.#path.draw(path)
    const webrtc = session.stats?.webrtc
    const kind = webrtc?.localCandidate ? ` (${webrtc.protocol ?? 'udp'}, ${webrtc.localCandidate} to ${webrtc.remoteCandidate})` : ''
    const words = {
      webrtc: `From device to device by WebRTC${kind}`,
      relay: 'Over the server’s relay, which cannot read it',
      none: 'No path at the moment',
    }
    say(this.#pathWords, words[path ?? 'none'])
    const why = path === 'relay' ? session.stats?.whyRelayed : null
    say(this.#why, why ? `Why: ${why}` : '')
    const phrase = session.client.phrase
    if (this.#phrase.dataset['phrase'] !== String(phrase)) {
      this.#phrase.dataset['phrase'] = String(phrase)
      this.#phrase.replaceChildren(...(phrase ? phrase.split(/[\s-]+/).map((word) => h('span', {}, word)) : ['–']))
    }
  }

  #drawDevice(): void {
    const { session } = this
    const open = session.phase !== 'ended'
    const key = `${session.saved} ${open} ${session.canSave} ${session.title}`
    if (this.#deviceDrawn === key || this.#device.contains(document.activeElement)) return
    this.#deviceDrawn = key
    const leave = h('button', { class: 'quiet', onclick: () => void session.leave() }, icon('close'), 'Hang up')
    if (session.saved) {
      this.#device.replaceChildren(
        h('p', { class: 'small soft' }, 'Saved: the two devices meet again by themselves while this page is open.'),
        h('div', { class: 'buttons' }, h('button', { class: 'quiet', onclick: () => void this.#forget() }, icon('trash'), 'Forget'), open && leave),
      )
      return
    }
    const name = h('input', { type: 'text', id: 'device-name', value: session.title, maxlength: 60, autocomplete: 'off' })
    const form = h(
      'form',
      {
        class: 'save-form',
        onsubmit: (event: Event) => {
          event.preventDefault()
          void this.#save(name.value.trim() || session.title)
        },
      },
      h('label', { for: 'device-name' }, `Meet again without a code: save this device ${session.isProgram ? 'while `peersox pair` runs there' : 'on both sides'}`),
      h('div', { class: 'save-row' }, name, h('button', { type: 'submit', id: 'save-device' }, icon('save'), 'Save')),
    )
    this.#device.replaceChildren(...(session.canSave ? [form] : []), ...(open ? [h('div', { class: 'buttons' }, leave)] : []))
  }

  async #save(name: string): Promise<void> {
    try {
      await this.session.save(name)
      if (this.session.saved) announce(`${name} is saved.`)
      this.#title.focus()
      this.draw()
    } catch (error) {
      announce(`Not saved: ${message(error)}`)
    }
  }

  async #forget(): Promise<void> {
    await this.session.forget()
    this.#app.remove(this.session)
  }
}
