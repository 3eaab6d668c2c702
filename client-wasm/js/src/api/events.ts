/**
 * What a client tells, by the names of its events.
 *
 * @packageDocumentation
 */

import type { IncomingTransfer } from '../transfer/incoming.js'
import type { Channel } from './channel.js'
import type { PeerSoxError } from './errors.js'
import type { CloseReason, PathKind, ServerClosedCause } from './types.js'

/** What listeners of each event are given. */
export interface ClientEvents {
  /** The server answered for the first time. */
  'server.ready': { url: string }
  /** A leg to the relay is up: for the first time, or again. */
  'server.connected': {
    /** How the relay is reached. */
    transport: 'websocket'
    /** Whether it continues an earlier leg. */
    resumed: boolean
  }
  /** The leg to the relay was lost. Unless the client is closed, another one is being made. */
  'server.closed': {
    /** Why; stable. */
    cause: ServerClosedCause
    /** The same for people. */
    reason: string
    /** The number of the close, as docs/protocol.md lists them. */
    code: number | null
    /** In how many milliseconds the next attempt begins; `null` if there is none. */
    retryIn: number | null
  }
  /** Somebody typed the code that this side showed. */
  'pairing.joined': { pairingId: string }
  /** Nobody did, in time. The client is closed. */
  'pairing.expired': { pairingId: string }
  /**
   * The other side, or whoever poses as it, has tried the code, right or wrong: it is spent, however this ends. A page that
   * shows another code by itself counts these.
   */
  'code.used': { pairingId: string }
  /** The peers are sure of each other. Comes again with fresh keys. */
  'peer.secured': {
    /** Three words that are the same on both devices if nobody is in between. */
    phrase: string
    /** The name that the other peer gives itself. */
    name: string
  }
  /** Messages flow for the first time. */
  'peer.connected': {
    /** The way they take. */
    path: PathKind
    /** Three words that are the same on both devices if nobody is in between. */
    phrase: string
    /** The name that the other peer gives itself. */
    name: string
  }
  /** The other peer cannot be reached. What is sent waits for it. */
  'peer.away': { graceMs: number | null }
  /** It is back. Nothing was lost, unless `restarted`. */
  'peer.back': {
    /** The way that messages take. */
    path: PathKind
    /** The other side is a new process, for instance a page that was reloaded: channels are new. */
    restarted: boolean
  }
  /** The other peer is gone: it closed, or (`lost`) was waited for in vain; then it may still come back. */
  'peer.gone': { reason: CloseReason | 'lost' }
  /** Messages take another way, or none. */
  'path.changed': {
    /** The way they take now. */
    path: PathKind | null
    /** The way they took before. */
    previous: PathKind | null
    /** To the other peer and back, in milliseconds, if it is known already. */
    rtt: number | null
  }
  /** A message, text or binary, of the channel that {@link PeerSoxClient.send} uses. */
  message: string | ArrayBuffer
  /** The same, text only. */
  string: string
  /** The same, binary only. */
  binary: ArrayBuffer
  /** A datagram. */
  datagram: Uint8Array
  /** The other peer opened a channel. Using it accepts it. */
  channel: Channel
  /** The other peer offers files. */
  transfer: IncomingTransfer
  /** It is over. No event follows. */
  closed: {
    /** Why. */
    reason: CloseReason
    /** The same for people. */
    message: string
    /** What went wrong, if something did. */
    error: PeerSoxError | null
  }
  /**
   * Something failed that may have no other way to tell: an offer of files that cannot be taken, or a message that was
   * refused, whether or not its `send` was awaited. The end of a channel or of the client is not told here.
   */
  error: PeerSoxError | TypeError
}

/** The names of events. */
export type ClientEventName = keyof ClientEvents
