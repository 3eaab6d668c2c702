import deflated from '#wasm'

/** The module, out of base64 of raw-deflated bytes: works everywhere, without a bundler's help. */
export async function inlined(): Promise<ArrayBuffer> {
  const text = atob(deflated)
  const bytes = new Uint8Array(text.length)
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at)
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'))
  return new Response(stream).arrayBuffer()
}
