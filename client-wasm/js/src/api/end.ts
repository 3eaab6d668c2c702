/**
 * How a connection ended.
 *
 * @internal
 * @packageDocumentation
 */

import type { PeerSoxError } from './errors.js'
import type { CloseReason } from './types.js'

/** The end of one connection of a pairing. */
export interface End {
  /** Why, as the event `closed` tells it. */
  reason: CloseReason
  /** The same for people. */
  message: string
  /** What went wrong; null after an end in good order. */
  error: PeerSoxError | null
}
