/** What a link to this page brings after `#`: a code, nothing, or something that is no code. */

/** See the module. A `damaged` link brings the home view with a hint. */
export type Link = { kind: 'none' } | { kind: 'code'; code: string } | { kind: 'damaged' }

const CODE = /^[0-9]{4,12}(-[a-z]+)*$/

/** Far longer than any code; what is longer is not even decoded. */
const MAX_LENGTH = 500

/** Reads the fragment of an address, `#` included. Never throws. */
export function linkOf(hash: string): Link {
  const text = hash.replace(/^#/, '')
  if (text === '') return { kind: 'none' }
  const code = codeOf(text)
  return code !== null && CODE.test(code) ? { kind: 'code', code } : { kind: 'damaged' }
}

function codeOf(text: string): string | null {
  if (text.length > MAX_LENGTH) return null
  try {
    // Mail programs and people write spaces and other dashes, and put a full stop behind.
    return decodeURIComponent(text).trim().replace(/[.,;:!?]+$/, '').toLowerCase().replace(/[\s_+\u2010-\u2015-]+/g, '-')
  } catch {
    return null
  }
}
