/**
 * Failures made into errors, and what ends them early.
 *
 * @internal
 * @packageDocumentation
 */

import * as e from '../api/errors.js'

/** The error of a code. */
export function failure(
  code: e.ErrorCode | 'tampered',
  message: string,
  retryAfter?: number,
  status?: number,
): e.PeerSoxError {
  switch (code) {
    case 'code-malformed':
      return new e.CodeError(code, message || 'this is not a code')
    case 'code-not-found':
      return new e.CodeError(
        code,
        'no device is waiting under this code: it may be mistyped, already used, or expired; ask the other side for a new one',
      )
    case 'pairing-invalid':
      return new e.PairingInvalidError(code, message || 'this pairing no longer exists; pair the two devices again')
    case 'rate-limited':
      return new e.RateLimitedError(message || 'the server asks to wait', retryAfter ?? null)
    case 'unreachable':
      return new e.UnreachableError(code, `the server cannot be reached${message ? `: ${message}` : ''}`)
    case 'refused':
      return new e.RefusedError(`the server refused: ${message}`, status ?? 0)
    case 'tampered':
      return new e.ProtocolError('protocol', message, { cause: code })
    case 'channel-reset':
      return new e.ChannelResetError(message, null)
    default:
      return new (CLASSES[code] ?? e.PeerSoxError)(code, message)
  }
}

/** Of errors that say what they are told, and nothing else. */
const CLASSES: Partial<Record<e.ErrorCode, typeof e.PeerSoxError>> = {
  unsupported: e.UnsupportedError,
  'code-mismatch': e.CodeError,
  protocol: e.ProtocolError,
  'too-large': e.TooLargeError,
  'no-path': e.NoPathError,
  busy: e.BusyError,
}

/** Waits for one of two things: a promise, or an abort, which runs `undo`. */
export function abortable<T>(promise: Promise<T>, signal?: AbortSignal, undo?: () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const forget = onAbort(signal, (reason) => {
      undo?.()
      reject(reason)
    })
    promise.then(resolve, reject).finally(forget)
  })
}

/** Calls `act` with the reason when a signal aborts, or at once if it has. Gives what forgets it. */
export function onAbort(signal: AbortSignal | undefined, act: (reason: unknown) => void): () => void {
  const abort = () => act(signal!.reason)
  if (signal?.aborted) abort()
  else signal?.addEventListener('abort', abort, { once: true })
  return () => signal?.removeEventListener('abort', abort)
}

/** As `signal.throwIfAborted()`, which jsdom of Jest 29 does not have. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw signal.reason
}
