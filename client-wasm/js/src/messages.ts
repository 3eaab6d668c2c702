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
import { ClosedError } from './errors.js'
import { Intake } from './intake.js'
import type { Link } from './link.js'
import type { Data } from './types.js'

/** The name, as in docs/protocol.md. */
export const MESSAGE_CHANNEL = 'peersox.message'

const DATAGRAMS_KEPT = 256

/** Both directions of one client, over all its links. */
export class Messages {
  readonly intake: Intake<string | ArrayBuffer>
  readonly datagrams: Intake<Uint8Array>
  #link: Link | null = null
  #out: Channel | null = null
  #in: Channel[] = []
  readonly #datagrams: Uint8Array[] = []
  readonly #isHeard: () => boolean
  readonly #hear: (message: string | ArrayBuffer) => void
  readonly #writables: { messages?: WritableStream<Data>; datagrams?: WritableStream<ArrayBuffer | ArrayBufferView> } = {}

  constructor(
    isHeard: () => boolean,
    hear: (message: string | ArrayBuffer) => void,
    hearDatagram: (datagram: Uint8Array) => void,
    isDatagramHeard: () => boolean,
  ) {
    this.#isHeard = isHeard
    this.#hear = hear
    this.intake = new Intake(
      () => this.#take(),
      () => this.#isHeard(),
      (message) => this.#hear(message),
    )
    this.datagrams = new Intake(() => this.#datagrams.shift(), isDatagramHeard, hearDatagram)
  }

  use(link: Link): void {
    this.#link = link
    this.#out = null
    this.#in = []
    for (const intake of [this.intake, this.datagrams]) intake.begin()
  }

  /** The link is over, for a reason or for none: who reads is told. */
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
    if (!this.#link) throw new ClosedError('closed', 'there is no connection: pair or connect first')
    if (this.#link.end) throw new ClosedError(this.#link.end.reason, this.#link.end.message)
    const channel = this.#link.open(MESSAGE_CHANNEL, 'interactive')
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
