/** Text that others wrote: names without tricks, lengths that a page can show, addresses that can be followed. */

import { h } from './dom.js'

/** Characters that show nothing, break lines, or turn the direction of what follows them. */
const TRICKS = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/gu

/** The most characters of a name that are shown. */
const MAX_NAME = 60

/** The most characters of a message that are shown; the whole of a longer one can be saved. */
export const MAX_SHOWN = 10_000

/** A name that the other side gave itself, on one line; empty if nothing visible is left of it. */
export function cleanName(name: string): string {
  return clip(name.replace(TRICKS, ' ').replace(/\s+/g, ' ').trim(), MAX_NAME)
}

/** The name of a file as it is, but for characters that would make it look like another one. */
export function cleanPath(path: readonly string[]): string {
  return path.join('/').replace(TRICKS, '\ufffd')
}

/** The name under which a file goes to the downloads, which have no folders. */
export function fileName(path: readonly string[]): string {
  return path.join(' - ').replace(TRICKS, '_')
}

/** Not more than so many characters. */
export function clip(text: string, most: number): string {
  if (text.length <= most) return text
  // A pair of surrogates stays whole.
  const end = /[\ud800-\udbff]/.test(text.charAt(most - 2)) ? most - 2 : most - 1
  return `${text.slice(0, end)}…`
}

/** Text that can be sent: half of a surrogate pair becomes U+FFFD, as it would on the way. */
export function wellFormed(text: string): string {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
}

/** Begins with a capital and ends with a full stop. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? '' : '.'}`
}

const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\u0000-\u0020]+/gi

/** The same text in which web addresses can be followed; they open elsewhere and do not learn where they were read. */
export function withLinks(text: string): (Node | string)[] {
  const parts: (Node | string)[] = []
  let at = 0
  for (const found of text.matchAll(ADDRESS)) {
    const address = trimmed(found[0])
    const url = webAddress(address)
    if (!url) continue
    parts.push(text.slice(at, found.index), h('a', { href: url.href, target: '_blank', rel: 'noopener noreferrer' }, address))
    // Letters of other scripts may look like those of a name that a person trusts.
    if (/[^\0-\x7f]/.test(address) && url.hostname.includes('xn--')) parts.push(h('span', { class: 'soft' }, ` (${url.hostname})`))
    at = found.index + address.length
  }
  parts.push(text.slice(at))
  return parts.filter((it) => it !== '')
}

/** Without the punctuation of the sentence around it. */
function trimmed(address: string): string {
  const bare = address.replace(/[.,;:!?'*_]+$/, '')
  const closes = bare.endsWith(')') && !bare.includes('(')
  return closes ? trimmed(bare.slice(0, -1)) : bare
}

/** An address that goes where it seems to go; null if it hides something. */
function webAddress(address: string): URL | null {
  // What stands before an @ looks like the host and is not.
  if (address.search(TRICKS) >= 0 || !URL.canParse(address)) return null
  const url = new URL(address)
  return /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' ? url : null
}

/** What an error says, as a sentence. */
export function message(error: unknown): string {
  return sentence(error instanceof Error ? error.message : String(error))
}
