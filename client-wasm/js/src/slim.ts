/**
 * The browser client of PeerSox, with its WebAssembly module beside it instead of inside.
 *
 * @packageDocumentation
 */

import { setDefaultSource } from './engine.js'

setDefaultSource(() => fetch(new URL('./peersox.wasm', import.meta.url)))

export { default } from './exports.js'
export * from './exports.js'
