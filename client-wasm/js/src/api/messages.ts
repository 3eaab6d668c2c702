/**
 * The channel behind `send`, `onString` and their like.
 *
 * Each peer opens its own when it first sends, and sends on it; so neither has to wait for the other.
 * After a restart of the other side the next message opens another one.
 *
 * @internal
 * @packageDocumentation
 */

import type { Channel } from './channel.js'
import { sizeOf } from './data.js'
import { Intake } from './intake.js'
import type { Data, Priority } from './types.js'

/** The name, as in docs/protocol.md. */
export const MESSAGE_CHANNEL = 'peersox.message'

const DATAGRAMS_KEPT = 256

/** Opens a channel of the connection in use; throws if there is none. */
export type OpenChannel = (name: string, priority: Priority) => Channel

/** What somebody may listen to, alone. */
export type Kind = 'string' | 'binary' | 'datagram'

/** Both directions of one client, over all its connections. */
export class Messages {
  readonly intake: Intake<string | ArrayBuffer>
  readonly datagrams: Intake<Uint8Array>
  #out: Channel | null = null
  #in: Channel[] = []
  readonly #datagrams: Uint8Array[] = []
  readonly #open: OpenChannel
  readonly #writables: { messages?: WritableStream<Data>; datagrams?: WritableStream<ArrayBuffer | ArrayBufferView> } = {}

  constructor(
    open: OpenChannel,
    hears: (kind: Kind) => boolean,
    hear: (message: string | ArrayBuffer) => void,
    hearDatagram: (datagram: Uint8Array) => void,
    full: () => void,
  ) {
    this.#open = open
    this.intake = new Intake<string | ArrayBuffer>({
      take: () => this.#take(),
      isHeard: () => hears('string') || hears('binary'),
      hears: (message) => hears(typeof message === 'string' ? 'string' : 'binary'),
      push: hear,
      sizeOf,
      full,
    })
    const isHeard = () => hears('datagram')
    const take = () => this.#datagrams.shift()
    this.datagrams = new Intake({ take, isHeard, hears: isHeard, push: hearDatagram, sizeOf: (it) => it.length })
  }

  /** Another connection begins. */
  begin(): void {
    this.#out = null
    this.#in = []
    for (const intake of [this.intake, this.datagrams]) intake.begin()
  }

  /** The connection is over; whoever reads is told the error, or with null the end. */
  ended(error: Error | null): void {
    for (const intake of [this.intake, this.datagrams]) intake.end(error)
  }

  /** The other side opened one. */
  opened(channel: Channel): void {
    this.#in.push(channel)
    channel.onReady = () => this.intake.ready()
    channel.on('datagram', (datagram) => {
      // Nobody waits for a datagram of old.
      if (this.#datagrams.push(datagram) > DATAGRAMS_KEPT) this.#datagrams.shift()
      this.datagrams.ready()
    })
    this.intake.ready()
  }

  out(): Channel {
    if (this.#out && !this.#out.isOver) return this.#out
    const channel = this.#open(MESSAGE_CHANNEL, 'interactive')
    // What comes back on it is taken as well.
    this.opened(channel)
    this.#out = channel
    return channel
  }

  get pending(): number {
    return this.#out?.bufferedAmount ?? 0
  }

  get writable(): WritableStream<Data> {
    this.#writables.messages ??= new WritableStream<Data>({ write: (data) => this.out().send(data) })
    return this.#writables.messages
  }

  get datagramsWritable(): WritableStream<ArrayBuffer | ArrayBufferView> {
    this.#writables.datagrams ??= new WritableStream<ArrayBuffer | ArrayBufferView>({
      write: (data) => void this.out().sendDatagram(data),
    })
    return this.#writables.datagrams
  }

  #take(): string | ArrayBuffer | undefined {
    for (const channel of this.#in) {
      const message = channel.takeNow()
      if (message !== undefined) return message
    }
    this.#in = this.#in.filter((channel) => !channel.isOver)
    return undefined
  }
}
