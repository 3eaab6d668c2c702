/**
 * Messages that were said here and that the other side has not taken yet.
 *
 * ```text
 *   say ──► kept ──► under way in a channel ──► taken there: delivered
 *            ▲               │
 *            ├── restarted ──┘   sent again, in the same order
 *            └── the conversation ended: not delivered, until somebody tries again
 * ```
 */

import { type Channel, ChannelResetError, ClosedError } from 'peersox'
import type { TextItem } from './items.js'
import { message } from './text.js'

/** Milliseconds between two looks at what was taken, while something is under way. */
const LOOK_EVERY = 150

/** What each message costs in a channel beside its bytes. */
const ITEM_COST = 64

interface Entry {
  item: TextItem
  /** Where it is under way; null while it is kept. */
  channel: Channel | null
  /** What it adds to the amount that the channel tells: less until there was room for it. */
  cost: number
}

/** See the module. */
export class Outbox {
  /** Oldest first. */
  #entries: Entry[] = []
  /** The channel that messages take now; null if there is none, and then they are kept. */
  readonly #channel: () => Channel | null
  readonly #changed: () => void
  #looking: ReturnType<typeof setInterval> | undefined
  readonly #heard = new WeakSet<Channel>()

  constructor(channel: () => Channel | null, changed: () => void) {
    this.#channel = channel
    this.#changed = changed
  }

  /** Messages that are on their way or wait. */
  get size(): number {
    return this.#entries.length
  }

  /** Sends a message, now or as soon as there is a way. */
  say(item: TextItem): void {
    item.state = 'sending'
    item.why = ''
    const entry: Entry = { item, channel: null, cost: 0 }
    this.#entries.push(entry)
    // What was said before goes first.
    this.flush()
  }

  /** There is a way, perhaps another one: sends what is kept. */
  flush(): void {
    for (const entry of this.#entries) {
      if (entry.channel) continue
      const channel = this.#channel()
      if (!channel) break
      this.#send(entry, channel)
    }
    this.#watch()
    this.#changed()
  }

  /** Nothing will be taken any more. */
  fail(why: string): void {
    for (const { item } of this.#entries.splice(0)) {
      item.state = 'lost'
      item.why = why
    }
    this.#watch()
    this.#changed()
  }

  #send(entry: Entry, channel: Channel): void {
    this.#hear(channel)
    const text = channel.name === PIPE ? `${entry.item.text}\n` : entry.item.text
    entry.channel = channel
    entry.cost = text.length
    channel.send(text).then(
      () => {
        if (entry.channel === channel) entry.cost = new TextEncoder().encode(text).length + ITEM_COST
      },
      (error: unknown) => {
        // A channel that is over says so by its event, for all that were under way.
        if (entry.channel !== channel || isEnd(error)) return
        this.#entries = this.#entries.filter((it) => it !== entry)
        entry.item.state = 'lost'
        entry.item.why = message(error)
        this.#changed()
      },
    )
  }

  #hear(channel: Channel): void {
    if (this.#heard.has(channel)) return
    this.#heard.add(channel)
    channel.on('close', ({ error }) => {
      const back = this.#entries.filter((it) => it.channel === channel)
      for (const entry of back) entry.channel = null
      if (back.length === 0) return
      if (error instanceof ChannelResetError && error.resetCode !== null) return this.fail('Nobody reads messages there.')
      // The event may come in the midst of what ended the channel.
      queueMicrotask(() => this.flush())
    })
  }

  #watch(): void {
    if (this.#entries.length === 0) {
      clearInterval(this.#looking)
      this.#looking = undefined
    } else {
      this.#looking ??= setInterval(() => this.#look(), LOOK_EVERY)
    }
  }

  /** Of each channel the newest messages are those that were not taken: as many as its amount has room for. */
  #look(): void {
    const left = new Map<Channel, number>()
    let taken = false
    for (let at = this.#entries.length - 1; at >= 0; at--) {
      const { channel, cost, item } = this.#entries[at]!
      if (!channel) continue
      const amount = left.get(channel) ?? channel.bufferedAmount
      left.set(channel, amount - cost)
      if (amount > 0) continue
      item.state = 'delivered'
      this.#entries.splice(at, 1)
      taken = true
    }
    if (!taken) return
    this.#watch()
    this.#changed()
  }
}

function isEnd(error: unknown): boolean {
  return error instanceof ChannelResetError || error instanceof ClosedError
}

/** The channel by which `peersox connect` is a pipe. */
export const PIPE = 'peersox.pipe'

/** The channel of messages, as in docs/protocol.md. */
export const MESSAGES = 'peersox.message'
