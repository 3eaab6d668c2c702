import { fromBase64 } from './bytes.js'
import { needs } from './needs.js'

/** A module, out of base64 of raw-deflated bytes: works everywhere, without a bundler's help. */
export async function inflate(deflated: string): Promise<ArrayBuffer> {
  needs('DecompressionStream')
  const { readable, writable } = new DecompressionStream('deflate-raw')
  // `Blob.stream` and `Response` would be shorter, and are missing in jsdom.
  const writer = writable.getWriter()
  const written = Promise.all([writer.write(fromBase64(deflated)), writer.close()])
  const reader = readable.getReader()
  const parts: Uint8Array[] = []
  for (let part = await reader.read(); !part.done; part = await reader.read()) parts.push(part.value)
  await written
  const bytes = new Uint8Array(parts.reduce((sum, it) => sum + it.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes.buffer
}
