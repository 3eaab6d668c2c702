/**
 * The numbers in which a transfer and its machine in the module talk.
 *
 * @internal
 * @packageDocumentation
 */

/** What a step asks for; `client-wasm/src/transfer.rs` has the same table. */
export const ASK_WAIT = 0
export const ASK_FINISHED = 1
export const ASK_READ = 2
export const ASK_OFFERED = 3
export const ASK_WRITE = 4
export const ASK_COMPLETE = 5
export const ASK_STORE = 6

/** Why this side gives up, as TransferCancel says it; `client-wasm/src/transfer.rs` takes them. */
export const INTERRUPTED = 1
export const SOURCE_FAILED = 2
export const SINK_FAILED = 3
