/**
 * What can go wrong, and whose fault it was. Every promise of a client rejects with one of these,
 * with a `TypeError` for an argument that makes no sense, or with the reason of an `AbortSignal`.
 *
 * @packageDocumentation
 */

/** What each error is called in `code`. */
export type ErrorCode =
  | 'unsupported'
  | 'code-malformed'
  | 'code-not-found'
  | 'code-mismatch'
  | 'pairing-invalid'
  | 'rate-limited'
  | 'unreachable'
  | 'refused'
  | 'protocol'
  | 'closed'
  | 'channel-reset'
  | 'too-large'
  | 'busy'
  | 'no-path'
  | 'upgrade-failed'
  | 'transfer-declined'
  | 'transfer-cancelled'
  | 'transfer-failed'

/** What every error of this package is. */
export class PeerSoxError extends Error {
  /** Tells errors apart; stable. */
  readonly code: ErrorCode
  /** Whether the same call may succeed a little later without anybody doing anything. */
  readonly transient: boolean = false
  /** The name of the class. */
  override readonly name: string = 'PeerSoxError'

  /** @internal */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** This environment lacks something without which nothing works. */
export class UnsupportedError extends PeerSoxError {
  override readonly name: string = 'UnsupportedError'
}

/** The code that was typed is none, none that the server knows, or not that of the other device. */
export class CodeError extends PeerSoxError {
  override readonly name: string = 'CodeError'
  declare readonly code: 'code-malformed' | 'code-not-found' | 'code-mismatch'
}

/** The pairing is not, or no longer, known to the server: pair the two devices again. */
export class PairingInvalidError extends PeerSoxError {
  override readonly name: string = 'PairingInvalidError'
}

/** The server asks to slow down. */
export class RateLimitedError extends PeerSoxError {
  override readonly name: string = 'RateLimitedError'
  override readonly transient = true
  /** For how long, in milliseconds, if the server said so. */
  readonly retryAfter: number | null

  /** @internal */
  constructor(message: string, retryAfter: number | null) {
    super('rate-limited', message)
    this.retryAfter = retryAfter
  }
}

/** The server cannot be reached. It is not transient if the page itself forbids the connection, by its policy for instance. */
export class UnreachableError extends PeerSoxError {
  override readonly name: string = 'UnreachableError'
  override readonly transient: boolean

  /** @internal */
  constructor(code: 'unreachable', message: string, transient = true) {
    super(code, message)
    this.transient = transient
  }
}

/** The server answered with another error. */
export class RefusedError extends PeerSoxError {
  override readonly name: string = 'RefusedError'
  /** The gRPC status number. */
  readonly status: number

  /** @internal */
  constructor(message: string, status: number) {
    super('refused', message)
    this.status = status
  }
}

/** The other side, the peer or the server, broke the protocol. */
export class ProtocolError extends PeerSoxError {
  override readonly name: string = 'ProtocolError'
}

/** The client, or the channel, is closed. */
export class ClosedError extends PeerSoxError {
  override readonly name: string = 'ClosedError'
  /** Why, as in the event `closed`. */
  readonly reason: string

  /** @internal */
  constructor(reason: string, message: string, options?: ErrorOptions) {
    super('closed', message, options)
    this.reason = reason
  }
}

/** The other peer ended a channel, or was restarted; what was under way is lost. */
export class ChannelResetError extends PeerSoxError {
  override readonly name: string = 'ChannelResetError'
  /** The other side's number: 0 cancelled, 1 nobody serves it, from 16 on the application's. */
  readonly resetCode: number | null

  /** @internal */
  constructor(message: string, resetCode: number | null) {
    super('channel-reset', message)
    this.resetCode = resetCode
  }
}

/** A message or datagram is too long, or too much is waiting to be sent. */
export class TooLargeError extends PeerSoxError {
  override readonly name: string = 'TooLargeError'
}

/** It cannot be done now: for instance a second pairing while one is in use. */
export class BusyError extends PeerSoxError {
  override readonly name: string = 'BusyError'
}

/** A datagram found no way to the other peer; datagrams do not wait. */
export class NoPathError extends PeerSoxError {
  override readonly name: string = 'NoPathError'
  override readonly transient = true
}

/** No direct path could be made. Messages keep taking the relay. */
export class UpgradeError extends PeerSoxError {
  override readonly name: string = 'UpgradeError'
  override readonly transient = true
}

/** A transfer of files ended before it was complete. */
export class TransferError extends PeerSoxError {
  override readonly name: string = 'TransferError'
  declare readonly code: 'transfer-declined' | 'transfer-cancelled' | 'transfer-failed'
}
