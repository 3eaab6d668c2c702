/**
 * The browser client of PeerSox.
 *
 * @packageDocumentation
 */

import deflated from '#wasm'
import { setDefaultSource } from './net/engine.js'
import { inflate } from './net/inlined.js'
import { setTransferSource } from './transfer/ondemand.js'

setDefaultSource(() => inflate(deflated))
setTransferSource({ chunk: () => import('#transfers'), wasm: (chunk) => inflate(chunk.deflated!) })

export { default } from './exports.js'
export * from './exports.js'
