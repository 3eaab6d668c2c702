import { fromBase64 } from './bytes.js'

/** A module, out of base64 of raw-deflated bytes: works everywhere, without a bundler's help. */
export function inflate(deflated: string): Promise<ArrayBuffer> {
  const stream = new Blob([fromBase64(deflated)]).stream().pipeThrough(new DecompressionStream('deflate-raw'))
  return new Response(stream).arrayBuffer()
}
