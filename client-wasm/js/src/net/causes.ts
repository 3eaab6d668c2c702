/**
 * Why a server cannot be reached from a page, as far as a page can tell: `fetch` and `WebSocket` say next to nothing.
 *
 * @internal
 * @packageDocumentation
 */

import { UnreachableError } from '../api/errors.js'

/** Hosts that the Content-Security-Policy of this page has kept from being connected. */
const forbidden = new Set<string>()
let isWatching = false

/** Begins to listen for what the page's policy forbids. To be called before anything is connected. */
export function watchPolicy(): void {
  if (isWatching || !globalThis.document?.addEventListener) return
  isWatching = true
  document.addEventListener('securitypolicyviolation', ({ disposition, effectiveDirective, blockedURI }) => {
    const host = parsed(blockedURI)?.host
    if (disposition === 'enforce' && effectiveDirective === 'connect-src' && host) forbidden.add(host)
  })
}

/**
 * The error of a server that cannot be reached at this URL: what the browser said, and what is likely behind it. It is
 * not transient if the page itself forbids the connection.
 */
export async function unreachable(url: string, thrown: unknown): Promise<UnreachableError> {
  // A violation is told by an event, which may come after the failure.
  if (isWatching) await new Promise((resolve) => setTimeout(resolve))
  const error = thrown instanceof Error ? thrown : undefined
  const cause = error?.cause instanceof Error ? error.cause : undefined
  const [why, isFinal] = likely(url)
  const details = [[error?.message, cause?.message].filter(Boolean).join(': '), why].filter(Boolean).join('; ')
  const isRefused = error?.name === 'SecurityError'
  return new UnreachableError('unreachable', `the server cannot be reached${details && `: ${details}`}`, !isFinal && !isRefused)
}

/** The likely cause, and whether trying again is of no use. */
function likely(url: string): [why: string, isFinal: boolean] {
  const here = globalThis.location
  const there = parsed(url)
  if (!there || !here || !/^(https?|file):/.test(here.protocol)) return ['', false]
  if (forbidden.has(there.host)) {
    return [`the Content-Security-Policy of this page forbids it: its connect-src has to list ${there.protocol}//${there.host}`, true]
  }
  if (here.protocol === 'https:' && /^(http|ws):$/.test(there.protocol) && !isLoopback(there.hostname)) {
    return [`a page of https may not connect to ${there.protocol}//: the server needs TLS`, false]
  }
  if (globalThis.navigator?.onLine === false) return ['this device is offline', false]
  const causes = ['the server is not running']
  if (here.host !== there.host) causes.push(`it does not allow this origin (peersox serve --allow-origin ${here.origin})`)
  if (isLocal(there.hostname) && !isLocal(here.hostname)) causes.push('the browser wants a permission for the local network')
  causes.push('an extension blocks it')
  return [`perhaps ${causes.slice(0, -1).join(', ')}, or ${causes.at(-1)}`, false]
}

function isLoopback(host: string): boolean {
  return /^(localhost|.+\.localhost|127\.[\d.]+|\[::1\])$/.test(host)
}

/** Loopback, and addresses of private networks (RFC 1918, RFC 3927, RFC 4193, RFC 4291, RFC 6762). */
function isLocal(host: string): boolean {
  return isLoopback(host) || /^(10|192\.168|169\.254|172\.(1[6-9]|2\d|3[01]))\.[\d.]+$|^\[f([cd]|e[89ab])|\.local$/.test(host)
}

function parsed(url: string): URL | undefined {
  try {
    return new URL(url)
  } catch {
    return undefined
  }
}
