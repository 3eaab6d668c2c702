/** Pairings as the browser's storage has them: anything may stand there. */

import type { Pairing } from 'peersox'
import { HERE } from './here.js'

/** Whether a stored value can be connected by. What is not sound is neither shown nor removed. */
export function isSound(value: unknown): value is Pairing & { secret: string } {
  const it = value as Partial<Record<keyof Pairing, unknown>> | null
  return (
    typeof it === 'object' &&
    it !== null &&
    it.server === HERE &&
    typeof it.id === 'string' &&
    /^[0-9a-f]{32}$/.test(it.id) &&
    (it.role === 'initiator' || it.role === 'joiner') &&
    isBase64(it.credential) &&
    isBase64(it.secret) &&
    (it.name === undefined || typeof it.name === 'string')
  )
}

/** 16 to 64 bytes. */
function isBase64(value: unknown): boolean {
  return typeof value === 'string' && value.length <= 88 && value.length >= 20 && /^[A-Za-z0-9+/_-]+={0,2}$/.test(value)
}
