/**
 * One pairing, as the page sees it: its client, what was said, what is on its way, how fast.
 *
 * ```text
 *   code shown ─┐
 *   code typed ─┼─► client ──► connected ⇄ away ──► closed
 *   saved ──────┘                 │
 *                                 └─► text, files, measurements ──► `change`
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
  type Stats,
  type Transfer,
} from 'peersox'
import { HERE } from './here.js'
import { type Destination, sinkFor } from './saving.js'
import { settings } from './settings.js'
import { keepForTab } from './tab.js'
import { keptByBoth, PAIR } from './together.js'

/** Something that was said or sent. */
export type Item =
  | { kind: 'text'; mine: boolean; text: string; at: number }
  | { kind: 'note'; text: string; at: number }
  | { kind: 'bytes'; blob: Blob; at: number }
  | { kind: 'transfer'; mine: boolean; transfer: Transfer; destination: Destination | null; at: number }

/** Where a session is. */
export type Phase = 'meeting' | 'waiting' | 'connected' | 'away' | 'ended'

/** One measurement. */
export interface Sample {
  up: number
  down: number
}

/** Names of programs: they have no eyes for messages, but the command `connect` joins a pipe. */
const PROGRAM = /^peersox\//

const PIPE = 'peersox.pipe'

/** How much is shown; the oldest goes first. */
const MAX_ITEMS = 2_000

/** One minute. */
const MAX_SAMPLES = 60

/** See the module. `change` tells of anything, `item` of a new item. */
export class Session extends EventTarget {
  readonly items: Item[] = []
  readonly samples: Sample[] = []
  client: PeerSoxClient
  phase: Phase = 'meeting'
  /** Why it ended; null while it has not. */
  endedBy: CloseReason | 'forgotten' | null = null
  /** The same for people. */
  ending = ''
  /** What the pairing is called here. */
  name: string
  saved: boolean
  stats: Stats | null = null
  unread = 0
  #pipe: Channel | null = null
  /** A program has kept the pairing, and waits for this side to do so. */
  #asked: Channel | null = null
  #staged: Sendable[] = []
  #pairing: Pairing | null
  #left = false

  constructor(pairing: Pairing | null = null, saved = false) {
    super()
    this.#pairing = pairing
    this.saved = saved
    this.name = pairing?.name ?? ''
    this.client = this.#makeClient()
    if (pairing) {
      this.phase = 'waiting'
      this.#connect(pairing)
    }
  }

  /** The pairing, once there is one. */
  get pairing(): Pairing | null {
    return this.client.pairing ?? this.#pairing
  }

  /** What to call the other device. */
  get title(): string {
    return this.name || this.client.peerName?.replace(PROGRAM, 'peersox ') || 'The other device'
  }

  /** Whether the other side is the command line. */
  get isProgram(): boolean {
    return PROGRAM.test(this.client.peerName ?? '')
  }

  /** Whether text finds a reader. */
  get canChat(): boolean {
    return !this.isProgram || this.#pipe !== null
  }

  /** Says something. */
  say(text: string): void {
    this.#add({ kind: 'text', mine: true, text, at: Date.now() })
    const pipe = this.#pipe
    const sent = pipe ? pipe.send(`${text}\n`) : this.client.send(text)
    sent.catch((error: unknown) => this.#note(`Not sent: ${message(error)}`))
  }

  /** Offers files, now or as soon as the other device is there. */
  async offer(files: Sendable[]): Promise<void> {
    if (files.length === 0) return
    if (this.phase === 'meeting' || this.phase === 'waiting') {
      this.#staged.push(...files)
      this.#tell()
      return
    }
    try {
      const transfer: OutgoingTransfer = await this.client.sendFiles(files)
      this.#addTransfer(transfer, true, null)
    } catch (error) {
      this.#note(`Cannot send: ${message(error)}`)
    }
  }

  /** Files that wait for the other device. */
  get staged(): number {
    return this.#staged.length
  }

  /** Takes over what waits in another session, whose code was not used. */
  takeStaged(other: Session): void {
    this.#staged.push(...other.#staged.splice(0))
  }

  /** Takes what is offered. */
  async accept(item: Item & { kind: 'transfer' }, destination: Destination): Promise<void> {
    item.destination = destination
    this.#tell()
    try {
      await (item.transfer as IncomingTransfer).accept(sinkFor(destination))
    } catch {
      // Its state says so.
    }
    this.#tell()
  }

  /** Whether a pairing that is saved here can be of use. A program has to save it at the same time. */
  get canSave(): boolean {
    if (this.phase === 'ended' || this.client.phrase === null) return false
    return !this.isProgram || this.#asked !== null || this.client.status.isInitiator
  }

  /** Keeps the pairing, so that no code is needed from now on. */
  async save(name: string): Promise<void> {
    const { client } = this
    const channel = this.isProgram ? (this.#asked ?? client.openChannel(PAIR, { priority: 'interactive' })) : null
    const pairing = await client.storePairing(null, { name })
    // A program hangs up as soon as both have it.
    this.saved = true
    if (channel && !(await keptByBoth(channel))) {
      this.saved = false
      await client.deletePairing(pairing, { revoke: false })
      this.#note('Not saved, because the other side did not: run `peersox pair --save NAME` there.')
      return
    }
    this.name = name
    this.#tell()
  }

  /** Forgets the pairing, here and on the server. */
  async forget(): Promise<void> {
    this.#left = true
    keepForTab(null)
    const pairing = this.pairing
    await this.client.close()
    if (pairing) await this.client.deletePairing(pairing).catch(() => {})
    this.saved = false
    this.#end('forgotten', 'Forgotten.')
  }

  /** Hangs up. A saved pairing stays. */
  async leave(): Promise<void> {
    this.#left = true
    keepForTab(null)
    await this.client.close()
  }

  /** Comes back to a pairing that ended here. */
  reconnect(): void {
    const pairing = this.pairing
    if (!pairing?.secret) return
    this.#left = false
    this.#pipe = this.#asked = null
    this.client = this.#makeClient()
    this.phase = 'waiting'
    this.endedBy = null
    this.ending = ''
    this.#connect(pairing)
    this.#tell()
  }

  /** Measures; to be called once a second while somebody looks. */
  async measure(): Promise<void> {
    if (this.phase === 'meeting' || this.phase === 'ended') return
    this.stats = await this.client.stats()
    this.samples.push({ up: this.stats.sendRate, down: this.stats.receiveRate })
    if (this.samples.length > MAX_SAMPLES) this.samples.shift()
  }

  #makeClient(): PeerSoxClient {
    const { name, relayOnly } = settings()
    const client = new PeerSoxClient({
      url: HERE,
      wasm: theModule(),
      transferWasm: () => fetch(TRANSFER_WASM_URL),
      name,
      webrtc: relayOnly ? 'off' : 'auto',
    })
    // An older client of the same session tells nothing any more.
    const own = <T>(act: (value: T) => void) => (value: T) => {
      if (this.client === client) {
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
      if (reason === 'lost' && this.phase !== 'ended') this.phase = this.phase === 'connected' ? 'away' : this.phase
    }))
    client.on('path.changed', own(() => {}))
    client.on('server.connected', own(() => {}))
    client.on('server.closed', own(() => {}))
    client.on('closed', own(({ reason, message }) => this.#onClosed(reason, message)))
    client.on('channel', own((channel) => this.#onChannel(channel)))
    client.on('transfer', own((transfer) => this.#onTransfer(transfer)))
    client.on('error', own(({ message }) => this.#note(`Files were refused: ${message}`)))
    client.onString = (text) => this.#add({ kind: 'text', mine: false, text, at: Date.now() })
    client.onBinary = (data) => this.#add({ kind: 'bytes', blob: new Blob([data]), at: Date.now() })
    return client
  }

  #connect(pairing: Pairing): void {
    this.client.connect(pairing).catch(() => {
      // `closed` tells why; what is merely unreachable is tried again by the client.
    })
  }

  #keepForTab(): void {
    keepForTab(this.pairing)
  }

  #onConnected(note: string): void {
    const first = this.phase !== 'away'
    this.phase = 'connected'
    this.#keepForTab()
    if (first && note) this.#note(note)
    if (this.isProgram && !this.#pipe && this.client.status.isInitiator) {
      // `peersox connect` waits for it, the other commands refuse it.
      this.#usePipe(this.client.openChannel(PIPE, { priority: 'interactive' }))
    }
    const staged = this.#staged.splice(0)
    if (staged.length > 0) void this.offer(staged)
  }

  #onClosed(reason: CloseReason, text: string): void {
    if (reason === 'peer-closed' && this.saved && !this.#left) {
      // It may come back later: wait for it.
      this.#note('The other device hung up.')
      this.reconnect()
      return
    }
    const endings: Partial<Record<CloseReason, string>> = {
      closed: 'You hung up.',
      'peer-closed': 'The other side hung up.',
      replaced: 'This pairing was opened in another tab.',
      revoked: 'The pairing was deleted by the other device.',
    }
    if (reason === 'revoked') {
      this.saved = false
      void this.client.deletePairing(this.pairing, { revoke: false })
    }
    if (reason !== 'replaced') keepForTab(null)
    this.#end(reason, endings[reason] ?? text)
  }

  #end(by: NonNullable<Session['endedBy']>, ending: string): void {
    this.phase = 'ended'
    this.endedBy = by
    this.ending = ending
    this.#tell()
  }

  #onChannel(channel: Channel): void {
    if (channel.name === PIPE) return this.#usePipe(channel)
    if (channel.name !== PAIR || this.saved) return channel.reset(1)
    this.#asked = channel
    this.#note('The other side has saved this pairing, and waits a moment for you to save it, too.')
  }

  /** A stream of bytes each way, shown by lines. */
  #usePipe(channel: Channel): void {
    this.#pipe = channel
    const decoder = new TextDecoder()
    channel.on('message', (message) => {
      const text = typeof message === 'string' ? message : decoder.decode(message, { stream: true })
      const last = this.items.at(-1)
      if (text === '') return
      if (last?.kind === 'text' && !last.mine && Date.now() - last.at < 200 && last.text.length < 64_000) {
        last.text += text
        this.#tell()
      } else {
        this.#add({ kind: 'text', mine: false, text, at: Date.now() })
      }
    })
    channel.on('close', () => {
      if (this.#pipe === channel) this.#pipe = null
      this.#tell()
    })
    channel.on('end', () => this.#note('The other side has finished speaking.'))
  }

  #onTransfer(transfer: IncomingTransfer): void {
    const before = this.items.find(
      (it) => it.kind === 'transfer' && !it.mine && it.transfer.id === transfer.id && it.transfer.state !== 'done',
    )
    const destination = before?.kind === 'transfer' ? before.destination : null
    const item = this.#addTransfer(transfer, false, destination)
    // Taken before, and broken off: it goes on by itself.
    if (destination) void this.accept(item, destination)
  }

  #addTransfer(transfer: Transfer, mine: boolean, destination: Destination | null): Item & { kind: 'transfer' } {
    const item: Item = { kind: 'transfer', mine, transfer, destination, at: Date.now() }
    for (const name of ['progress', 'state', 'file'] as const) transfer.on(name, () => this.#tell())
    transfer.done.catch(() => {})
    this.#add(item)
    return item
  }

  #note(text: string): void {
    this.#add({ kind: 'note', text, at: Date.now() })
  }

  #add(item: Item): void {
    this.items.push(item)
    if (this.items.length > MAX_ITEMS) this.items.shift()
    if (!('mine' in item && item.mine) && item.kind !== 'note') this.unread++
    this.dispatchEvent(new CustomEvent('item', { detail: item }))
    this.#tell()
  }

  #tell(): void {
    this.dispatchEvent(new Event('change'))
  }
}

/** What an error says. */
export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

declare const WASM_URL: string
declare const TRANSFER_WASM_URL: string
let compiled: Promise<WebAssembly.Module> | undefined

/** The module, loaded once for all sessions. */
function theModule(): Promise<WebAssembly.Module> {
  compiled ??= WebAssembly.compileStreaming(fetch(WASM_URL)).catch((error: unknown) => {
    compiled = undefined
    throw error
  })
  return compiled
}
