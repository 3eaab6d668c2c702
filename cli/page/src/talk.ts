/** The second view: a conversation, what is on its way, and how the connection does. */

import type { Sendable } from 'peersox'
import { ask, verify, words as phraseWords } from './dialogs.js'
import { announce, h, icon, say, show } from './dom.js'
import { bytes, millis, plural, rate, timeOfDay } from './format.js'
import { Beginning, placeholder } from './hints.js'
import type { Item, TextItem } from './items.js'
import { keptCard } from './keptcard.js'
import { busy, Plot, pathDrawing } from './plot.js'
import { presence } from './presence.js'
import { SaveCard, saveForm } from './savecard.js'
import { download } from './saving.js'
import type { Session } from './session.js'
import { MAX_SHOWN, clip, message, withLinks } from './text.js'
import { TransferCard } from './transfers.js'

/** What a conversation asks of the page around it. */
export interface TalkOwner {
  /** Shows the first view. */
  home(): void
  /** Lets go of a session that has ended. */
  remove(session: Session): Promise<void>
  /** Files that an earlier page received were saved or deleted. */
  keptChanged(): void
}

/** See the module. */
export class Talk {
  readonly element: HTMLElement
  readonly session: Session
  readonly #app: TalkOwner
  readonly #cards = new Map<Item, TransferCard | SaveCard>()
  readonly #nodes = new Map<Item, HTMLElement>()
  readonly #sent = new Map<TextItem, HTMLElement>()
  readonly #log = h('div', { class: 'log', role: 'log', 'aria-label': 'Conversation', tabindex: 0 })
  readonly #beginning: Beginning
  readonly #title = h('h1', { tabindex: -1 })
  readonly #claim = h('span', { class: 'soft small', hidden: true })
  readonly #chip = h('span', { class: 'chip', role: 'status' })
  readonly #verify = h('button', { class: 'verify', onclick: () => this.#openVerify() })
  readonly #banner = h('div', { class: 'banner', role: 'status', hidden: true })
  readonly #text = h('textarea', { rows: 1, 'aria-label': 'Message', placeholder: 'Message', enterkeyhint: 'send' })
  readonly #send = h('button', { class: 'primary', type: 'submit', 'aria-label': 'Send' }, icon('send'))
  readonly #pickFiles = h('input', { type: 'file', multiple: true, hidden: true, id: 'files' })
  readonly #pickFolder = h('input', { type: 'file', webkitdirectory: true, hidden: true, id: 'folder' })
  readonly #attach: HTMLButtonElement
  readonly #attachFolder: HTMLButtonElement
  readonly #path = pathDrawing()
  readonly #pathWords = h('p', { class: 'path-words' })
  readonly #why = h('p', { class: 'soft small' })
  readonly #rtt = h('dd')
  readonly #down = h('dd')
  readonly #up = h('dd')
  readonly #plot = new Plot()
  readonly #peak = h('span', { class: 'peak' })
  readonly #phrase = h('div', {})
  readonly #device = h('div', { class: 'device-form' })
  #deviceDrawn = ''
  #isAtEnd = true
  #last: { node: HTMLElement; item: Item } | null = null

  constructor(app: TalkOwner, session: Session) {
    this.#app = app
    this.session = session
    this.#beginning = new Beginning(session)
    this.#attach = h(
      'button',
      { type: 'button', class: 'attach', 'aria-label': 'Send files', title: 'Send files', onclick: () => this.#pickFiles.click() },
      icon('clip'),
    )
    this.#attachFolder = h(
      'button',
      { type: 'button', class: 'attach', 'aria-label': 'Send a folder', title: 'Send a folder', onclick: () => this.#pickFolder.click() },
      icon('folder'),
    )
    for (const input of [this.#pickFiles, this.#pickFolder]) {
      input.addEventListener('change', () => {
        void session.offer([...(input.files ?? [])])
        input.value = ''
      })
    }
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
        h('div', { class: 'talk-title' }, this.#title, this.#claim, this.#chip),
        this.#verify,
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
          'webkitdirectory' in this.#pickFolder && matchMedia('(pointer: fine)').matches && this.#attachFolder,
          this.#pickFiles,
          this.#pickFolder,
          this.#text,
          this.#send,
        ),
      ),
      this.#side(),
    )
    let before = 0
    this.#log.addEventListener('scroll', () => {
      const { scrollTop, scrollHeight, clientHeight } = this.#log
      if (scrollHeight - scrollTop - clientHeight < 80) this.#isAtEnd = true
      else if (scrollTop < before) this.#isAtEnd = false
      before = scrollTop
    })
    this.#log.append(this.#beginning.element)
    for (const item of session.items) this.#add(item)
    this.draw()
  }

  /** A new item. */
  add(item: Item): void {
    this.#add(item)
    if (item.kind === 'text' && !item.mine) announce(clip(`${this.session.other.title}: ${item.text}`, 300))
    if (item.kind === 'transfer' && !item.mine) announce(`${this.session.other.title} offers ${filesOf(item)}`)
  }

  /** An item that is not kept any more. */
  drop(item: Item): void {
    this.#nodes.get(item)?.remove()
    this.#nodes.delete(item)
    this.#cards.delete(item)
    if (item.kind === 'text') this.#sent.delete(item)
  }

  /** Draws what changed. */
  draw(): void {
    const { session } = this
    const [state, words] = presence(session)
    say(this.#title, session.other.title)
    show(this.#claim, session.name === '' && session.other.ownName !== '')
    say(this.#claim, session.other.isProgram ? session.other.ownName : 'the name it gives itself')
    say(this.#chip, words)
    this.#chip.dataset['state'] = state
    this.#drawVerify()
    this.#drawBanner()
    for (const card of this.#cards.values()) card.draw()
    for (const [item, node] of this.#sent) this.#drawSent(item, node)
    if (this.#last?.item.kind === 'text' && !this.#last.item.mine) {
      const { text } = this.#last.item
      const bubble = this.#last.node.querySelector<HTMLElement>('.bubble')
      if (bubble && bubble.dataset['length'] !== String(text.length)) this.#fill(bubble, text)
    }
    this.#text.disabled = this.#send.disabled = !(session.isOpen && session.canChat)
    this.#attach.disabled = this.#attachFolder.disabled = !(session.isOpen && session.other.takesFiles)
    this.#text.placeholder = placeholder(session)
    this.#beginning.draw()
    this.#drawConnection()
    this.#drawDevice()
    this.#follow()
  }

  /** Draws what was measured. */
  drawStats(): void {
    const { stats, samples } = this.session.meter
    say(this.#rtt, millis(stats?.rtt ?? null))
    say(this.#down, speed(stats?.receiveRate ?? 0))
    say(this.#up, speed(stats?.sendRate ?? 0))
    this.#plot.draw(samples, this.#peak)
    this.#drawConnection()
  }

  /** For the keyboard: where typing goes. */
  focus(): void {
    if (!this.#text.disabled && matchMedia('(pointer: fine)').matches) this.#text.focus()
    else this.#title.focus()
  }

  /** Offers what was dropped. */
  offer(files: Sendable[]): void {
    void this.session.offer(files)
  }

  /** Puts a text where a message is written. Whether one can be. */
  insert(text: string): boolean {
    if (this.#text.disabled) return false
    this.#text.focus()
    this.#text.setRangeText(text, this.#text.selectionStart, this.#text.selectionEnd, 'end')
    this.#grow()
    return true
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
    const node = this.#node(item)
    this.#last = { node, item }
    this.#nodes.set(item, node)
    this.#log.append(node)
    if ('mine' in item && item.mine) this.#isAtEnd = true
    this.#follow()
  }

  /** Stays at the end while things there grow, unless a person has gone back. */
  #follow(): void {
    if (this.#isAtEnd) this.#log.scrollTop = this.#log.scrollHeight
  }

  #node(item: Item): HTMLElement {
    const time = h('time', { datetime: new Date(item.at).toISOString() }, timeOfDay(item.at))
    switch (item.kind) {
      case 'note':
        return h('p', { class: 'note' }, item.text)
      case 'text': {
        const who = h('span', { class: 'sr' }, item.mine ? 'You: ' : `${this.session.other.title}: `)
        const bubble = h('p', { class: 'bubble', dir: 'auto' })
        this.#fill(bubble, item.text)
        const meta = h('p', { class: 'meta' }, time)
        const node = h('div', { class: `line ${item.mine ? 'mine' : 'theirs'}` }, who, bubble, meta)
        if (item.mine) {
          meta.append(h('span', { class: 'sent' }))
          this.#sent.set(item, node)
          this.#drawSent(item, node)
        }
        return node
      }
      case 'asked': {
        const card = new SaveCard(this.session, (name) => void this.#save(name))
        this.#cards.set(item, card)
        return card.element
      }
      case 'kept':
        return keptCard(item.set, () => this.#app.keptChanged())
      case 'bytes': {
        const save = () => {
          item.isSaved = true
          download('message.bin', item.blob)
        }
        return h(
          'div',
          { class: 'line theirs' },
          h('p', { class: 'bubble binary' }, h('button', { class: 'link', onclick: save }, icon('down'), `A binary message, ${bytes(item.blob.size)}`)),
          time,
        )
      }
      case 'transfer': {
        const card = new TransferCard(this.session, item)
        this.#cards.set(item, card)
        return card.element
      }
    }
  }

  /** Text as it was written, with addresses that can be followed; a page cannot show any length. */
  #fill(bubble: HTMLElement, text: string): void {
    bubble.dataset['length'] = String(text.length)
    bubble.replaceChildren(...withLinks(clip(text, MAX_SHOWN)))
    if (text.length <= MAX_SHOWN) return
    const blob = () => new Blob([text], { type: 'text/plain' })
    bubble.append(h('button', { class: 'link', onclick: () => download('message.txt', blob()) }, icon('down'), `Save the whole text, ${plural(text.length, 'character')}`))
  }

  /** Says whether what was said here has arrived. */
  #drawSent(item: TextItem, node: HTMLElement): void {
    const mark = node.querySelector<HTMLElement>('.sent')
    const waits = item.state === 'sending' && this.session.phase !== 'connected'
    const key = `${item.state} ${waits} ${this.session.phase === 'ended'}`
    if (!mark || mark.dataset['key'] === key) return
    mark.dataset['key'] = key
    node.dataset['state'] = item.state
    switch (item.state) {
      case 'sending':
        return mark.replaceChildren(waits ? '· waits for the other side' : '· sending …')
      case 'delivered':
        mark.replaceChildren(icon('check'), h('span', { class: 'sr' }, 'delivered'))
        return
      case 'lost': {
        mark.replaceChildren('· not delivered')
        mark.title = item.why
        if (this.session.phase === 'ended') return
        mark.append(' · ', h('button', { class: 'link', onclick: () => this.session.sayAgain(item) }, 'Retry'))
      }
    }
  }

  #drawVerify(): void {
    const { session } = this
    const { phrase } = session.client
    const isVerified = phrase !== null && session.verified === phrase
    show(this.#verify, phrase !== null && session.phase !== 'ended')
    const key = String(isVerified)
    if (this.#verify.dataset['verified'] === key) return
    this.#verify.dataset['verified'] = key
    this.#verify.replaceChildren(icon(isVerified ? 'check' : 'shield'), isVerified ? 'Verified' : 'Verify')
  }

  #openVerify(): void {
    const { session } = this
    const { phrase } = session.client
    verify(phrase, phrase !== null && session.verified === phrase, () => {
      session.verified = phrase
      session.touched()
    })
  }

  /** Asks first if something would be stopped by it. */
  async #mayStop(question: string, yes: string): Promise<boolean> {
    const running = this.session.running.length
    if (running === 0) return true
    const what = running === 1 ? 'A transfer is under way. This stops it.' : `${running} transfers are under way. This stops them.`
    return ask(question, what, yes, 'Stay')
  }

  async #hangUp(): Promise<void> {
    if (!(await this.#mayStop('Hang up?', 'Stop and hang up'))) return
    this.session.leave()
    this.#title.focus()
  }

  #drawBanner(): void {
    const { session } = this
    const { phase } = session
    const isAttached = session.client.status.server === 'connected'
    let text = ''
    if (phase === 'away') {
      text = isAttached ? `${session.other.title} is away. What you send waits for it.` : 'The server cannot be reached; trying again. Nothing is lost.'
    } else if (phase === 'waiting') {
      text = isAttached ? `Waiting for ${session.other.name} to come back.` : 'Reaching the server …'
    } else if (phase === 'elsewhere') {
      text = 'This conversation is open in another tab.'
    } else if (phase === 'ended') {
      text = session.ending
    }
    if (session.staged.length > 0) text += ` ${plural(session.staged.length, 'file')} will be offered then.`
    const again = phase === 'ended' && session.pairing?.secret !== undefined && session.saved
    const key = `${text} ${again}`
    if (this.#banner.dataset['key'] === key) return
    this.#banner.dataset['key'] = key
    this.#banner.dataset['mood'] = this.#mood(isAttached)
    const button = (name: string, act: () => void) => h('button', { onclick: act }, name)
    this.#banner.replaceChildren(
      h('span', {}, text),
      ...(phase === 'elsewhere' ? [button('Use it here', () => session.reconnect())] : []),
      ...(again ? [button('Connect again', () => session.reconnect())] : []),
      ...(phase === 'ended' && !again ? [button('New connection', () => void this.#app.remove(session))] : []),
    )
    show(this.#banner, text !== '')
  }

  /** Nothing is wrong with a device that is away; alarm is for what a person may have to do something about. */
  #mood(isAttached: boolean): 'calm' | 'quiet' | 'alarm' {
    const { phase, endedWell } = this.session
    if (phase === 'ended') return endedWell ? 'calm' : 'alarm'
    return isAttached || phase === 'elsewhere' ? 'quiet' : 'alarm'
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
          { 'aria-labelledby': 'phrase-title' },
          h('h2', { id: 'phrase-title' }, 'The same words on both?'),
          h('p', { class: 'soft small' }, 'Then nobody is in between: compare them by voice or by sight.'),
          this.#phrase,
        ),
        h('section', { 'aria-label': 'Device' }, this.#device),
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
      ),
    )
    return side
  }

  #drawConnection(): void {
    const { session } = this
    const path = session.phase === 'connected' ? session.client.status.path : null
    this.#path.draw(path)
    const ways = {
      webrtc: `From device to device${sameNetwork(session) ? ', on this network' : ''}`,
      relay: 'Over the server’s relay, which cannot read it',
      none: session.phase === 'ended' ? 'The connection is over' : 'No path at the moment',
    }
    say(this.#pathWords, ways[path ?? 'none'])
    const why = path === 'relay' ? whyRelayed(session) : ''
    say(this.#why, why)
    const phrase = session.client.phrase
    if (this.#phrase.dataset['phrase'] !== String(phrase)) {
      this.#phrase.dataset['phrase'] = String(phrase)
      this.#phrase.replaceChildren(phraseWords(phrase))
    }
  }

  #drawDevice(): void {
    const { session } = this
    const open = session.phase !== 'ended'
    // A terminal that waits has the form in the conversation.
    const canSave = session.canSave && !session.isAskedToSave
    const key = `${session.saved} ${open} ${canSave} ${session.other.title}`
    // Who is typing a name is not disturbed.
    if (this.#deviceDrawn === key || (open && this.#device.querySelector('input:focus'))) return
    this.#deviceDrawn = key
    const leave = h('button', { class: 'quiet', onclick: () => void this.#hangUp() }, icon('close'), 'Hang up')
    if (session.saved) {
      this.#device.replaceChildren(
        h('p', { class: 'small soft' }, 'Saved: the two devices meet again by themselves while this page is open.'),
        h('div', { class: 'buttons' }, open && leave, h('button', { class: 'quiet', onclick: () => void this.#forget() }, icon('trash'), 'Forget')),
      )
      return
    }
    const label = `Meet again without a code: save this device ${session.other.isProgram ? 'while `peersox pair` runs there' : 'on both sides'}`
    this.#device.replaceChildren(...(canSave ? [saveForm(session, label, false, (name) => void this.#save(name))] : []), ...(open ? [h('div', { class: 'buttons' }, leave)] : []))
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
    if (!(await this.#mayStop(`Forget ${this.session.other.name}?`, 'Stop and forget'))) return
    await this.session.forget()
    await this.#app.remove(this.session)
  }
}

/** What is offered, in words. */
export function filesOf(item: Item & { kind: 'transfer' }): string {
  return plural(item.transfer.entries.filter((it) => it.kind === 'file').length, 'file')
}

function speed(perSecond: number): string {
  return busy(perSecond) === 0 ? 'idle' : rate(perSecond)
}

function sameNetwork(session: Session): boolean {
  const webrtc = session.meter.stats?.webrtc
  return webrtc?.localCandidate === 'host' && webrtc.remoteCandidate === 'host'
}

/** Why messages do not go from device to device. */
function whyRelayed(session: Session): string {
  if (session.other.isProgram) return 'The other side is a terminal, which the relay connects.'
  const why = session.meter.stats?.whyRelayed
  return why ? `Why: ${why}` : ''
}
