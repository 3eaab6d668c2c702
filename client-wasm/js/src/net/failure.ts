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
    case 'unsupported':
      return new e.UnsupportedError(code, message)
    case 'code-malformed':
      return new e.CodeError(code, message || 'this is not a code')
    case 'code-not-found':
      return new e.CodeError(
        code,
        'no device is waiting under this code: it may be mistyped, already used, or expired; ask the other side for a new one',
      )
    case 'code-mismatch':
      return new e.CodeError(code, message)
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
    case 'protocol':
      return new e.ProtocolError('protocol', message)
    case 'channel-reset':
      return new e.ChannelResetError(message, null)
    case 'too-large':
      return new e.TooLargeError(code, message)
    case 'no-path':
      return new e.NoPathError(code, message)
    case 'busy':
      return new e.BusyError(code, message)
    default:
      return new e.PeerSoxError(code, message)
  }
}

/** Waits for one of two things: a promise, or an abort, which runs `undo`. */
export function abortable<T>(promise: Promise<T>, signal?: AbortSignal, undo?: () => void): Promise<T> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const abort = () => {
      undo?.()
      reject(signal.reason)
    }
    if (signal.aborted) {
      promise.catch(() => {})
      return abort()
    }
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
