/**
 * A named stream of messages each way, without loss, in order, over whatever path there is.
 *
 * @packageDocumentation
 */

import { Emitter } from './emitter.js'
import type { Link } from './link.js'
import type { Abortable, Data, Priority } from './types.js'

/** What listeners of a channel are given. */
export interface ChannelEvents {
  /** A message arrived. Listening takes messages as fast as they come. */
  message: string | ArrayBuffer
  /** A datagram arrived. */
  datagram: Uint8Array
  /** {@link Channel.send} would not wait now. */
  writable: undefined
  /** The other peer will send no more; everything was taken. */
  end: undefined
  /** The channel is over. */
  close: { error: Error | null }
}

/**
 * A channel between the two peers.
 *
 * Messages wait until they are taken: by a listener, by `for await`, by {@link Channel.receive} or
 * from {@link Channel.readable}; use one of these at a time. While nobody takes them the other peer
 * is stopped after a megabyte.
 */
export class Channel extends Emitter<ChannelEvents> implements AsyncIterable<string | ArrayBuffer> {
  /** The name, the same on both sides. */
  readonly name: string
  /** Who goes first when several channels have something to send. */
  readonly priority: Priority
  /** Whether this side opened it. */
  readonly mine: boolean

  /** @internal */
  constructor(link: Link, handle: number, name: string, priority: Priority, mine: boolean)

  /** Resolves when the channel is over, in good order or not. */
  get closed(): Promise<void>

  /** Bytes that were sent and that the other peer has not taken, with 64 for each message. */
  get bufferedAmount(): number

  /** The longest datagram in bytes. */
  get maxDatagramSize(): number

  /**
   * Sends one message. Resolves when there is room for the next one; messages keep the order of
   * the calls whether or not the promise is awaited.
   *
   * @throws {@link TooLargeError} if more than 64 MiB of messages wait for room already.
   */
  send(data: Data, options?: Abortable): Promise<void>

  /**
   * Sends a datagram now or never: unordered, unreliable, at most {@link Channel.maxDatagramSize} bytes.
   *
   * @returns whether it was sent.
   */
  sendDatagram(data: ArrayBuffer | ArrayBufferView): boolean

  /** Takes the next message; `undefined` at the end. */
  receive(options?: Abortable): Promise<string | ArrayBuffer | undefined>

  /** The messages of the other peer. */
  get readable(): ReadableStream<string | ArrayBuffer>

  /** Messages to the other peer; closing it ends this side's direction. */
  get writable(): WritableStream<Data>

  /** Ends this side's direction. Resolves when the other peer has taken everything. */
  finish(options?: Abortable): Promise<void>

  /** Ends the channel at once, in both directions; what is under way is lost. */
  reset(code?: number): void

  /** The messages of the other peer. Leaving the loop early resets the channel. */
  [Symbol.asyncIterator](): AsyncIterator<string | ArrayBuffer, undefined>
}
