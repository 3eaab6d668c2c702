/**
 * gRPC-Web by `fetch`: calls that answer one message.
 *
 *     body = *frame        frame = flag:1 ‖ length:4, big-endian ‖ bytes
 *                          flag 0x00: a message; flag 0x80: the trailers, `name: value` lines; the last
 *
 * A call that fails before it has a body carries its status in the headers instead.
 *
 * @internal
 * @packageDocumentation
 */

import { type Any, ErrorInfo, RetryInfo, Status } from '#wire'
import { fromBase64 } from './bytes.js'
import { unreachable } from './causes.js'
import type { ErrorCode } from '../api/errors.js'
import { failure, onAbort } from './failure.js'
import { decode } from './protobuf.js'

/**
 * Calls a method, as whoever shows this token. Reads the answer to its end: the status may say that the message does not
 * count.
 */
export async function unary(
  base: string,
  method: string,
  request: Uint8Array,
  signal?: AbortSignal,
  token?: string,
): Promise<Uint8Array> {
  const deadline = new AbortController()
  const forget = onAbort(signal, (reason) => deadline.abort(reason))
  const timer = setTimeout(() => deadline.abort(failure('unreachable', 'it did not answer in time')), TIMEOUT)
  try {
    return await call(`${base}/peersox.v1.PairingService/${method}`, request, deadline.signal, token)
  } finally {
    clearTimeout(timer)
    forget()
  }
}

async function call(url: string, request: Uint8Array, signal: AbortSignal, token?: string): Promise<Uint8Array> {
  const body = new Uint8Array(PREFIX + request.length)
  new DataView(body.buffer).setUint32(1, request.length)
  body.set(request, PREFIX)
  const headers: Record<string, string> = { 'content-type': `${CONTENT_TYPE}+proto`, 'x-grpc-web': '1', 'grpc-timeout': `${TIMEOUT}m` }
  if (token) headers['authorization'] = `Bearer ${token}`
  if (typeof fetch !== 'function') throw failure('unsupported', 'this environment has no `fetch`')
  const response: Response = await fetch(url, { method: 'POST', headers, body, signal }).catch(async (error: unknown) => {
    throw signal.aborted ? signal.reason : await unreachable(url, error)
  })
  if (response.headers.has('grpc-status')) check((name) => response.headers.get(name))
  else if (!response.ok) throw failure('unreachable', `HTTP status ${response.status}`)
  // A network that wants a login first answers with its page.
  const type = response.headers.get('content-type') ?? 'nothing'
  if (!type.startsWith(CONTENT_TYPE)) throw failure('unreachable', `it answered with ${type.split(';', 1)[0]}`)
  if (!response.body) throw failure('protocol', 'the answer has no body')
  const reader = response.body.getReader()
  let buffer = new Uint8Array()
  let answer: Uint8Array | undefined
  try {
    for (;;) {
      while (buffer.length >= PREFIX) {
        const end = PREFIX + new DataView(buffer.buffer, buffer.byteOffset).getUint32(1)
        if (end > MAX_MESSAGE) throw failure('protocol', 'the answer is too long')
        if (end > buffer.length) break
        const frame = buffer.subarray(PREFIX, end)
        if (buffer[0]! & TRAILERS) {
          checkTrailers(frame)
          if (!answer) throw failure('protocol', 'the server did not answer')
          return answer
        }
        if (answer) throw failure('protocol', 'the server answered twice')
        answer = frame
        buffer = buffer.subarray(end)
      }
      // `fetch` says `TypeError` for whatever the network did.
      const { value } = await reader.read().catch((error: unknown) => {
        throw signal.aborted ? signal.reason : failure('unreachable', error instanceof Error ? error.message : '')
      })
      if (!value) throw failure('unreachable', 'the answer broke off')
      const longer = new Uint8Array(buffer.length + value.length)
      longer.set(buffer)
      longer.set(value, buffer.length)
      buffer = longer
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

function checkTrailers(frame: Uint8Array): void {
  const fields = new Map<string, string>()
  for (const line of new TextDecoder().decode(frame).split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
  }
  check((name) => fields.get(name) ?? null)
}

/** Throws what a status stands for, unless that is success. */
function check(field: (name: string) => string | null): void {
  const number = Number(field('grpc-status') ?? UNKNOWN)
  if (number === 0) return
  let message = field('grpc-message') ?? ''
  try {
    message = decodeURIComponent(message)
  } catch {
    // Then it is shown as it came.
  }
  let reason = ''
  let retryAfter: number | undefined
  for (const detail of details(field('grpc-status-details-bin'))) {
    // The type URL ends in the name of the type; what is before it does not matter.
    const type = detail.type_url.split('/').pop()
    if (type === 'google.rpc.ErrorInfo') reason = decode(ErrorInfo, detail.value)?.reason ?? ''
    if (type === 'google.rpc.RetryInfo') {
      const delay = decode(RetryInfo, detail.value)?.retry_delay
      retryAfter = delay && delay.seconds * 1e3 + delay.nanos / 1e6
    }
  }
  throw failure(codeOf(reason, number), message, retryAfter, number)
}

function details(field: string | null): Any[] {
  try {
    return field ? (decode(Status, fromBase64(field))?.details ?? []) : []
  } catch {
    return []
  }
}

function codeOf(reason: string, number: number): ErrorCode {
  if (reason === 'CODE_MALFORMED') return 'code-malformed'
  if (reason === 'CODE_NOT_FOUND') return 'code-not-found'
  if (reason === 'CREDENTIAL_INVALID') return 'pairing-invalid'
  if (number === RESOURCE_EXHAUSTED) return 'rate-limited'
  return [UNKNOWN, DEADLINE_EXCEEDED, UNAVAILABLE].includes(number) ? 'unreachable' : 'refused'
}

const UNKNOWN = 2
const DEADLINE_EXCEEDED = 4
const RESOURCE_EXHAUSTED = 8
const UNAVAILABLE = 14

const PREFIX = 5
const TRAILERS = 0x80

/** Bytes; far more than any answer of the service has. */
const MAX_MESSAGE = 1 << 20

const CONTENT_TYPE = 'application/grpc-web'

/** Milliseconds that an answer may take. Also the server's own bound, said aloud so that proxies know it. */
const TIMEOUT = 10_000
