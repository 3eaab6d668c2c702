/**
 * One peer of the module and the channels it has.
 *
 * @internal
 * @packageDocumentation
 */

import type { Peer, PeerOptions } from '#engine'
import { Channel } from './channel.js'
import { type Engine, Kind } from './engine.js'
import type { PeerSoxError } from './errors.js'
import { guard, toError } from './failure.js'
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
  readonly peer: Peer
  readonly #channels = new Map<number, Channel>()
  readonly #listener: LinkListener
  #end: End | null = null

  constructor(engine: Engine, options: PeerOptions, listener: LinkListener) {
    this.#listener = listener
    this.peer = guard(() => new engine.Peer(options, (kind, a, b, c) => this.#hear(kind, a, b, c)))
  }

  /** How it ended, if it has. */
  get end(): End | null {
    return this.#end
  }

  open(name: string, priority: Priority): Channel {
    const handle = guard(() => this.peer.open(name, PRIORITIES.indexOf(priority)))
    const channel = new Channel(this, handle, name, priority, true)
    this.#channels.set(handle, channel)
    return channel
  }

  forget(handle: number): void {
    this.#channels.delete(handle)
    if (this.#end === null) this.peer.forget(handle)
  }

  #hear(kind: Kind, a: any, b: any, c: any): void {
    switch (kind) {
      case Kind.Readable:
        return this.#channels.get(a)?.readReady()
      case Kind.Writable:
        return this.#channels.get(a)?.writeReady()
      case Kind.Datagram:
        return this.#channels.get(a)?.datagramReady()
      case Kind.Opened: {
        const channel = new Channel(this, a, b, PRIORITIES[c] ?? 'normal', false)
        this.#channels.set(a, channel)
        return this.#listener.opened(channel)
      }
      case Kind.Finished:
        return this.#channels.get(a)?.ended()
      case Kind.Flushed:
        return this.#channels.get(a)?.flushed()
      case Kind.Reset:
        return this.#channels.get(a)?.wasReset(b ?? null)
      case Kind.Attached:
        return this.#listener.attached(a)
      case Kind.LegLost:
        return this.#listener.legLost(a, b ?? null, c ?? null)
      case Kind.PeerOnline:
        return this.#listener.peerOnline()
      case Kind.PeerAway:
        return this.#listener.peerAway(a ?? null)
      case Kind.Secured:
        return this.#listener.secured(a, b)
      case Kind.Connected:
        return this.#listener.connected()
      case Kind.Restarted:
        return this.#listener.restarted()
      case Kind.Path:
        return this.#listener.path(a, b ?? null)
      case Kind.Pong:
        return this.#listener.pong(a)
      case Kind.DialFailed:
        return this.#listener.dialFailed(a)
      case Kind.Ended: {
        const error = c === null || c === undefined ? null : (toError(c) as PeerSoxError)
        this.#end = { reason: a, message: error?.message ?? b, error }
        for (const channel of [...this.#channels.values()]) channel.linkEnded(this.#end)
        return this.#listener.ended(this.#end)
      }
    }
  }
}
