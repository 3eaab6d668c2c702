/**
 * One pairing, as the page sees it: its client, what was said, what is on its way, how fast.
 *
 * ```text
 *   code shown ─┐
 *   code typed ─┼─► client ──► connected ⇄ away ──► ended
 *   saved ──────┘     │           │
 *                     │           └─► text, files, measurements ──► `change`
 *                     └─► elsewhere: another tab has it
 * ```
 */

import {
  type Channel,
  type CloseReason,
  type IncomingTransfer,
  type OutgoingTransfer,
  type Pairing,
  PeerSoxClient,
  type Sendable,
  type Transfer,
} from 'peersox'
import { endingOf, farewell, pauseOf } from './ending.js'
import { HERE } from './here.js'
import { History } from './history.js'
import { isAllDone, isAsking, isRunning, isSettled, isUnheard, isUnsaved, type Item, type TextItem, type TransferItem } from './items.js'
import type { KeptSet } from './kept.js'
import { Meter } from './meter.js'
import { theModule, theTransferModule } from './modules.js'
import { Other } from './other.js'
import { MESSAGES, Outbox, PIPE } from './outbox.js'
import { type Destination, placeAgain, release, sinkFor } from './saving.js'
import { settings } from './settings.js'
import type { Shared } from './shared.js'
import { keepForTab } from './tab.js'
import { cleanName, message, sentence, wellFormed } from './text.js'
import { keptByBoth, PAIR } from './together.js'

/** Where a session is. */
export type Phase = 'meeting' | 'waiting' | 'connected' | 'away' | 'elsewhere' | 'ended'

/** Offers that may wait for an answer at a time: each names up to hundreds of thousands of files. */
const MAX_ASKING = 8

/** See the module. `change` tells of anything, `item` of a new item, `gone` of one that is not kept any more. */
export class Session extends EventTarget {
  readonly meter = new Meter()
  readonly outbox: Outbox
  client: PeerSoxClient
  phase: Phase = 'meeting'
  /** Why it ended; null while it has not. */
  endedBy: CloseReason | 'forgotten' | null = null
  /** The same for people. */
  ending = ''
  /** Whether it ended in good order, and nothing that was begun is missing. */
  endedWell = false
  /** What the pairing is called here, by the person who saved it. */
  name: string
  saved: boolean
  unread = 0
  /** The phrase that a person has compared. */
  verified: string | null = null
  readonly #history = new History()
  #messages: Channel | null = null
  #pipe: Channel | null = null
  /** A program has kept the pairing, and waits for this side to do so. */
  #asked: Channel | null = null
  #staged: Sendable[] = []
  #pairing: Pairing | null
  #left = false
  #wasConnected = false

  constructor(pairing: Pairing | null = null, saved = false) {
    super()
    this.#pairing = pairing
    this.saved = saved
    this.name = cleanName(pairing?.name ?? '')
    this.outbox = new Outbox(() => this.#way(), () => this.#tell())
    this.client = this.#makeClient()
    if (pairing) this.phase = 'waiting'
  }

  /** What was said and sent. */
  get items(): readonly Item[] {
    return this.#history.items
  }

  /** The pairing, once there is one. */
  get pairing(): Pairing | null {
    return this.client.pairing ?? this.#pairing
  }

  /** The other side. */
  get other(): Other {
    return new Other(this.client.peerName, this.name)
  }

  /** Whether text finds a reader: programs have no eyes for messages, but the command `connect` joins a pipe. */
  get canChat(): boolean {
    return !this.other.isProgram || this.#pipe !== null
  }

  /** Whether it goes on, and in this tab. */
  get isOpen(): boolean {
    return this.phase !== 'ended' && this.phase !== 'elsewhere'
  }

  /** Whether this tab has the pairing open. */
  get isHere(): boolean {
    return this.#wasBegun && this.isOpen
  }
  #wasBegun = false

  /** Transfers that are on their way. */
  get running(): TransferItem[] {
    return this.items.filter(isRunning)
  }

  /** Whether something is lost if the page is left now. */
  get wouldLose(): boolean {
    return this.outbox.size > 0 || this.#staged.length > 0 || this.items.some((it) => isUnsaved(it) || isRunning(it))
  }

  /** Connects by the pairing it was made with. */
  begin(): void {
    this.#wasBegun = true
    if (this.#pairing) this.#connect(this.#pairing)
  }

  /** Another tab has it: waits until a person wants it here. */
  standAside(): void {
    this.phase = 'elsewhere'
    this.#tell()
  }

  /** Says something. */
  say(text: string): void {
    const item: TextItem = { kind: 'text', mine: true, text: wellFormed(text), at: Date.now(), state: 'sending', why: '' }
    this.#add(item)
    this.outbox.say(item)
  }

  /** Says once more what was not delivered. */
  sayAgain(item: TextItem): void {
    this.outbox.say(item)
  }

  /** Offers files, now or as soon as the other device is there. */
  async offer(files: Sendable[]): Promise<void> {
    if (files.length === 0) return
    if (!this.other.takesFiles) return this.#note('Not offered: the command that runs there takes no files.')
    if (this.phase !== 'connected' && this.phase !== 'ended') {
      this.#staged.push(...files)
      this.#tell()
      return
    }
    try {
      const transfer: OutgoingTransfer = await this.client.sendFiles(files)
      this.#addTransfer(transfer, files, null)
    } catch (error) {
      this.#note(`Cannot send: ${message(error)}`)
    }
  }

  /** Files that wait for the other device. */
  get staged(): readonly Sendable[] {
    return this.#staged
  }

  /** Takes over what waits in another session, whose code was not used. */
  takeStaged(other: Session): void {
    void this.offer(other.#staged.splice(0))
    for (const text of other.unsaid) this.say(text)
  }

  /** What was said before there was anybody to hear it. */
  get unsaid(): string[] {
    return this.items.flatMap((it) => (it.kind === 'text' && isUnheard(it) ? [it.text] : []))
  }

  /** Sends what another app has shared, now or later. What takes no messages may take files. */
  sendShared({ files, text }: Shared): void {
    if (!this.isOpen) this.reconnect()
    const asFile = text !== '' && !this.canChat && this.other.takesFiles
    void this.offer([...files, ...(asFile ? [new File([text], 'message.txt')] : [])])
    if (text !== '' && !asFile) this.say(text)
  }

  /** Takes what is offered. */
  async accept(item: TransferItem, destination: Destination): Promise<void> {
    item.destination = destination
    this.#tell()
    try {
      await (item.transfer as IncomingTransfer).accept(sinkFor(destination))
    } catch {
      // Its state says so. What was complete before is there all the same.
      if (destination.kind === 'private') await destination.sink.remember().catch(() => {})
    }
    this.#tell()
  }

  /** Stops a transfer, at once for the person who wants it. */
  stop(item: TransferItem): void {
    item.isStopped = true
    item.transfer.cancel()
    this.#tell()
  }

  /** Shows what a page before this one received by this pairing. */
  showKept(set: KeptSet): void {
    this.#add({ kind: 'kept', set, at: set.about.at })
  }

  /** What is kept, or not saved, has changed. */
  touched(): void {
    this.#tell()
  }

  /** Whether a terminal waits until this side has saved the pairing. Its channel is there, or is to be opened here. */
  get isAskedToSave(): boolean {
    return !this.saved && (this.#asked !== null || (this.other.command === 'pair' && this.client.status.isInitiator))
  }

  /** Whether a pairing that is saved here can be of use. A program has to save it at the same time. */
  get canSave(): boolean {
    if (this.phase === 'ended' || this.client.phrase === null) return false
    return !this.other.isProgram || this.isAskedToSave || (this.other.command === '' && this.client.status.isInitiator)
  }

  /** Keeps the pairing, so that no code is needed from now on. */
  async save(name: string): Promise<void> {
    const { client } = this
    const channel = this.other.isProgram ? (this.#asked ?? client.openChannel(PAIR, { priority: 'interactive' })) : null
    const pairing = await client.storePairing(null, { name })
    // A program hangs up as soon as both have it.
    this.saved = true
    if (channel && !(await keptByBoth(channel))) {
      this.saved = false
      await client.deletePairing(pairing, { revoke: false })
      this.#asked = null
      this.#note('Not saved, because the other side did not: run `peersox pair --save NAME` there.')
      return
    }
    this.name = name
    this.#tell()
  }

  /** Forgets the pairing, here and on the server. */
  async forget(): Promise<void> {
    const pairing = this.pairing
    this.#leave('forgotten', 'Forgotten.')
    this.saved = false
    if (pairing) await this.client.deletePairing(pairing).catch(() => {})
  }

  /** Hangs up: over at once here, and there as soon as it hears of it. A saved pairing stays. */
  leave(): void {
    this.#leave('closed', 'You hung up.')
  }

  /** Nobody will see this session again. */
  dispose(): void {
    for (const item of this.items) if (item.kind === 'transfer' && item.destination) release(item.destination)
  }

  /** Comes back to a pairing that ended here. */
  reconnect(): void {
    const pairing = this.pairing
    if (!pairing?.secret) return
    this.#left = this.#wasConnected = false
    this.#pipe = this.#asked = this.#messages = null
    this.#pairing = pairing
    this.client = this.#makeClient()
    this.phase = 'waiting'
    this.endedBy = null
    this.ending = ''
    this.begin()
    this.#tell()
  }

  /** Measures; to be called once a second while somebody looks. */
  measure(): Promise<void> {
    return this.meter.measure(() => (this.phase === 'meeting' || !this.isOpen ? null : this.client))
  }

  #makeClient(): PeerSoxClient {
    const { name, relayOnly } = settings()
    const client = new PeerSoxClient({
      url: HERE,
      wasm: theModule(),
      transferWasm: theTransferModule,
      name,
      webrtc: relayOnly ? 'off' : 'auto',
    })
    // An older client of the same session, and one that was left, tells nothing any more.
    const own = <T>(act: (value: T) => void) => (value: T) => {
      if (this.client === client && this.phase !== 'ended') {
        act(value)
        this.#tell()
      }
    }
    client.on('peer.secured', own(() => this.#keepForTab()))
    client.on('peer.connected', own(() => this.#onConnected('Connected.')))
    client.on('peer.away', own(() => {
      if (this.phase === 'connected') this.phase = 'away'
    }))
    client.on('peer.back', own(({ restarted }) => {
      if (restarted) this.#pipe = null
      this.#onConnected(restarted ? 'Connected again; the other side was restarted.' : '')
    }))
    client.on('peer.gone', own(({ reason }) => {
      if (reason === 'lost') this.phase = this.phase === 'connected' ? 'away' : this.phase
    }))
    client.on('path.changed', own(() => {}))
    client.on('server.connected', own(() => {}))
    client.on('server.closed', own(() => {}))
    client.on('closed', own(({ reason, message: text }) => this.#onClosed(reason, text)))
    client.on('channel', own((channel) => this.#onChannel(channel)))
    client.on('transfer', own((transfer) => this.#onTransfer(transfer)))
    client.on('error', own((error) => {
      // The part that takes files could not be loaded. A message that is refused says so itself.
      if ('code' in error && error.code === 'unsupported') this.#note(`Files were refused: ${message(error)}`)
    }))
    client.onString = (text) => this.#hear(text)
    client.onBinary = (data) => this.#hear(data)
    return client
  }

  #connect(pairing: Pairing): void {
    const { client } = this
    client.connect(pairing).catch((error: unknown) => {
      // `closed` tells why; what is merely unreachable is tried again by the client. Anything else is an entry that
      // cannot be used.
      if (this.client === client && client.status.server === 'idle') this.#end('failed', `This device cannot be reached: ${message(error)}`)
    })
  }

  #keepForTab(): void {
    keepForTab(this.pairing)
  }

  #onConnected(note: string): void {
    const first = this.phase !== 'away'
    this.phase = 'connected'
    this.#wasBegun = this.#wasConnected = true
    this.#keepForTab()
    if (first && note) this.#note(note)
    if (this.isAskedToSave) this.#ask()
    if (this.other.mayReadPipe && !this.#pipe && this.client.status.isInitiator) {
      // `peersox connect` waits for it. A command that does not name itself may refuse it.
      this.#usePipe(this.client.openChannel(PIPE, { priority: 'interactive' }))
    }
    this.outbox.flush()
    const staged = this.#staged.splice(0)
    if (staged.length > 0) void this.offer(staged)
  }

  #onClosed(reason: CloseReason, text: string): void {
    if (reason === 'replaced') return this.standAside()
    if (reason === 'peer-closed' && this.saved && !this.#left) {
      // It may come back later: wait for it.
      this.#note(pauseOf(this.#isAllDone, this.other.isProgram))
      this.reconnect()
      return
    }
    if (reason === 'revoked') {
      this.saved = false
      void this.client.deletePairing(this.pairing, { revoke: false })
    }
    keepForTab(null)
    this.#end(reason, endingOf(reason, this.#isAllDone, this.other.isProgram, this.isAskedToSave) ?? sentence(text))
  }

  get #isAllDone(): boolean {
    return isAllDone(this.items)
  }

  #leave(by: 'closed' | 'forgotten', ending: string): void {
    this.#left = true
    keepForTab(null)
    const { client, running } = this
    for (const item of running) this.stop(item)
    void farewell(client, running)
    this.#end(by, ending)
  }

  #end(by: NonNullable<Session['endedBy']>, ending: string): void {
    this.endedWell = by === 'closed' || (by === 'peer-closed' && !this.isAskedToSave && this.items.every(isSettled))
    this.phase = 'ended'
    this.endedBy = by
    this.ending = ending
    this.outbox.fail('The conversation ended before it was delivered.')
    // One that is paused would not notice.
    for (const { transfer } of this.running) transfer.resume()
    this.#tell()
  }

  /** The channel that messages take now; null while there is none. */
  #way(): Channel | null {
    if (!this.#wasConnected || !this.isOpen) return null
    if (this.other.isProgram) return this.#pipe
    if (!this.#messages) {
      const channel = (this.#messages = this.client.openChannel(MESSAGES, { priority: 'interactive' }))
      channel.on('message', (data) => this.#hear(data))
      channel.on('close', () => {
        if (this.#messages === channel) this.#messages = null
      })
    }
    return this.#messages
  }

  #hear(data: string | ArrayBuffer): void {
    if (typeof data === 'string') this.#add({ kind: 'text', mine: false, text: data, at: Date.now(), state: 'delivered', why: '' })
    else this.#add({ kind: 'bytes', blob: new Blob([data]), isSaved: false, at: Date.now() })
  }

  #onChannel(channel: Channel): void {
    if (channel.name === PIPE && !this.#pipe) return this.#usePipe(channel)
    if (channel.name !== PAIR || this.saved || this.#asked) return channel.reset(1)
    this.#asked = channel
    this.#ask()
  }

  /** Shows once that a terminal waits. */
  #ask(): void {
    if (!this.items.some((it) => it.kind === 'asked')) this.#add({ kind: 'asked', at: Date.now() })
  }

  /** A stream of bytes each way, shown by lines. */
  #usePipe(channel: Channel): void {
    this.#pipe = channel
    const decoder = new TextDecoder()
    channel.on('message', (data) => {
      const text = typeof data === 'string' ? data : decoder.decode(data, { stream: true })
      const last = this.items.at(-1)
      if (text === '') return
      if (last?.kind === 'text' && !last.mine && Date.now() - last.at < 200 && last.text.length < 64_000) {
        last.text += text
        this.#history.weigh(last)
        this.#tell()
      } else {
        this.#hear(text)
      }
    })
    channel.on('close', () => {
      if (this.#pipe === channel) this.#pipe = null
      this.#tell()
    })
    channel.on('end', () => this.#note('The other side has finished speaking.'))
  }

  #onTransfer(transfer: IncomingTransfer): void {
    if (this.items.filter(isAsking).length >= MAX_ASKING) {
      transfer.decline('too many offers wait for an answer')
      return this.#note('More files were offered than can be asked about at a time; they were declined.')
    }
    // Taken before, the very same, and broken off without anybody's wish: it goes on by itself.
    const before = this.items.findLast(
      (it): it is TransferItem =>
        it.kind === 'transfer' && !it.mine && (it.transfer as IncomingTransfer).digest === transfer.digest,
    )
    const goesOn = before !== undefined && !before.isStopped && before.transfer.state === 'failed'
    const destination = goesOn && before.destination ? placeAgain(before.destination, transfer) : null
    const item = this.#addTransfer(transfer, null, destination)
    if (destination) void this.accept(item, destination)
  }

  #addTransfer(transfer: Transfer, given: readonly Sendable[] | null, destination: Destination | null): TransferItem {
    const mine = given !== null
    const item: TransferItem = { kind: 'transfer', mine, transfer, destination, given: given ?? [], isStopped: false, unsaved: 0, at: Date.now() }
    for (const name of ['progress', 'state', 'file'] as const) transfer.on(name, () => this.#tell())
    transfer.on('state', (state) => {
      if (state === 'done' && (item.destination?.kind === 'private' || item.destination?.kind === 'memory')) {
        item.unsaved = transfer.entries.filter((it) => it.kind === 'file').length
      }
    })
    transfer.done.catch(() => {})
    this.#add(item)
    return item
  }

  #note(text: string): void {
    this.#add({ kind: 'note', text, at: Date.now() })
  }

  #add(item: Item): void {
    const isNeeded = (it: Item) => (it.kind === 'transfer' && isUnsaved(it)) || isRunning(it) || isAsking(it)
    for (const gone of this.#history.add(item, isNeeded)) {
      if (gone.kind === 'transfer' && gone.destination) release(gone.destination)
      this.dispatchEvent(new CustomEvent('gone', { detail: gone }))
    }
    if (!('mine' in item && item.mine) && item.kind !== 'note') this.unread++
    this.dispatchEvent(new CustomEvent('item', { detail: item }))
    this.#tell()
  }

  #tell(): void {
    this.dispatchEvent(new Event('change'))
  }
}
