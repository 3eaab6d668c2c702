import deflated from '#wasm'
import { fromBase64 } from './bytes.js'

/** The module, out of base64 of raw-deflated bytes: works everywhere, without a bundler's help. */
export function inlined(): Promise<ArrayBuffer> {
  const stream = new Blob([fromBase64(deflated)]).stream().pipeThrough(new DecompressionStream('deflate-raw'))
  return new Response(stream).arrayBuffer()
}
