/**
 * One peer of the module and the channels it has.
 *
 * @internal
 * @packageDocumentation
 */

import { Channel } from './channel.js'
import type { Engine } from '../net/engine.js'
import type { PeerSoxError } from './errors.js'
import { Told } from '../net/machine.js'
import { Shell, type ShellOptions } from '../net/shell.js'
import type { CloseReason, Priority } from './types.js'

/** The names of the priorities in the order of their numbers. */
export const PRIORITIES: readonly Priority[] = ['interactive', 'normal', 'bulk']

/** How it ended. */
export interface End {
  reason: CloseReason
  message: string
  error: PeerSoxError | null
}

/** What the client hears of. */
export interface LinkListener {
  attached(resumed: boolean): void
  legLost(reason: string, code: number | null, retryIn: number | null): void
  peerOnline(): void
  peerAway(graceMs: number | null): void
  secured(phrase: string, name: string): void
  connected(): void
  restarted(): void
  path(path: 0 | 1 | 2, rtt: number | null): void
  opened(channel: Channel): void
  pong(rtt: number): void
  dialFailed(why: string): void
  ended(end: End): void
}

/** See the module. */
export class Link {
  readonly peer: Shell
  readonly listener: LinkListener
  readonly #channels = new Map<number, Channel>()
  #end: End | null = null

  constructor(engine: Engine, options: ShellOptions, listener: LinkListener) {
    this.listener = listener
    this.peer = new Shell(engine, options, this)
  }

  /** How it ended, if it has. */
  get end(): End | null {
    return this.#end
  }

  open(name: string, priority: Priority): Channel {
    const handle = this.peer.open(name, PRIORITIES.indexOf(priority))
    const channel = new Channel(this, handle, name, priority, true)
    this.#channels.set(handle, channel)
    return channel
  }

  forget(handle: number): void {
    this.#channels.delete(handle)
    if (this.#end === null) this.peer.forget(handle)
  }

  /** Something happened to a channel. @internal */
  channel(told: Told, handle: number, value: number, name: string): void {
    if (told === Told.Opened) {
      const opened = new Channel(this, handle, name, PRIORITIES[value] ?? 'normal', false)
      this.#channels.set(handle, opened)
      return this.listener.opened(opened)
    }
    const channel = this.#channels.get(handle)
    switch (told) {
      case Told.Readable:
        return channel?.readReady()
      case Told.Datagram:
        return channel?.datagramReady()
      case Told.Writable:
        return channel?.writeReady()
      case Told.Finished:
        return channel?.ended()
      case Told.Flushed:
        return channel?.flushed()
      case Told.Reset:
        return channel?.wasReset(value)
    }
  }

  /** The other peer is another process: every channel below this one is gone with the old one. @internal */
  restarted(least: number): void {
    this.listener.restarted()
    for (const [handle, channel] of [...this.#channels]) if (handle < least) channel.wasReset(null)
  }

  /** It is over. @internal */
  ended(end: End): void {
    this.#end = { ...end, message: end.error?.message ?? end.message }
    for (const channel of [...this.#channels.values()]) channel.linkEnded(this.#end)
    this.listener.ended(this.#end)
  }
}
