/**
 * What the file of transfers takes from the main one. It is handed over instead of imported, so that there is one of
 * each class however a page or a bundler names the files.
 *
 * @internal
 * @packageDocumentation
 */

export { toHex } from '../net/bytes.js'
export { Emitter } from '../api/emitter.js'
export { ChannelResetError, ClosedError, PeerSoxError, TransferError } from '../api/errors.js'
/** @internal */
export { throwIfAborted } from '../net/failure.js'
export { instantiate } from '../net/instantiate.js'
