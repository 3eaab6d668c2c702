/**
 * The browser client of PeerSox, with its WebAssembly modules beside it instead of inside.
 *
 * @packageDocumentation
 */

import { setDefaultSource } from './net/engine.js'
import { setTransferSource } from './transfer/ondemand.js'

setDefaultSource(() => fetch(new URL('./peersox.wasm', import.meta.url)))
setTransferSource({
  chunk: () => import('#transfers'),
  wasm: () => fetch(new URL('./peersox-transfer.wasm', import.meta.url)),
})

export { default } from './exports.js'
export * from './exports.js'
