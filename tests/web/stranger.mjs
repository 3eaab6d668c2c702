// A peer with bad manners: it pairs with the page by the npm package, and speaks the transfer protocol by itself.

import { begin, theSite } from './embed.mjs'

/** A server that permits such peers. */
export async function openServer(scope, listen) {
  return scope.server(['--allow-origin', await theSite()], listen)
}

/** Joins the page that shows `code`. */
export async function stranger(scope, url, code, options = {}) {
  const page = await scope.page(`${await theSite()}/pages/api.html?entry=peersox`)
  await begin(page, url, { webrtc: 'off', ...options })
  await page.evaluate(async (code) => {
    await client.pair(code)
    await client.connected()
  }, code)
  await page.evaluate(() => {
    const varint = (value) => {
      const bytes = []
      let rest = BigInt(value)
      for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
      return [...bytes, Number(rest)]
    }
    const field = (number, bytes) => [...varint((number << 3) | 2), ...varint(bytes.length), ...bytes]
    const text = (value) => [...new TextEncoder().encode(value)]
    globalThis.channels = []
    /** Offers files `[path, size]` under an id of the caller's choice; gives the number of the channel. */
    globalThis.offer = async (id, files) => {
      const entries = files.flatMap(([path, size]) => {
        const names = path.split('/').flatMap((it) => field(1, text(it)))
        return field(2, [...names, 0x10, 1, 0x18, ...varint(size)])
      })
      const channel = client.openChannel('peersox.transfer', { priority: 'bulk' })
      await channel.send(Uint8Array.from(field(1, [...field(1, Array(16).fill(id)), ...entries])))
      return channels.push(channel) - 1
    }
    /** Sends a piece of a file that was offered. */
    globalThis.chunk = (at, offset, data) => channels[at].send(Uint8Array.from(field(4, [0x08, 0, 0x10, ...varint(offset), ...field(3, text(data))])))
    /** The kind of the next message: 2 accepts, 3 declines, 8 cancels; 0 when the channel was reset instead. */
    globalThis.answer = async (at) => {
      const message = await channels[at].receive().catch(() => undefined)
      return message === undefined ? 0 : new Uint8Array(message)[0] >> 3
    }
  })
  return page
}
