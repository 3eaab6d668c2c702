/**
 * The browser client of PeerSox.
 *
 * @packageDocumentation
 */

import { setDefaultSource } from './engine.js'
import { inlined } from './inlined.js'

setDefaultSource(inlined)

export { default } from './exports.js'
export * from './exports.js'
