/** The pairing of this tab, so that a reload does not end it. It is gone with the tab unless it is saved. */

import type { Pairing } from 'peersox'
import { isSound } from './stored.js'

const KEY = 'peersox.tab'

/** Keeps it, or forgets it. */
export function keepForTab(pairing: Pairing | null): void {
  try {
    if (pairing?.secret) sessionStorage.setItem(KEY, JSON.stringify(pairing))
    else if (pairing === null) sessionStorage.removeItem(KEY)
  } catch {
    // Without storage a reload ends it.
  }
}

/** What was kept. */
export function keptForTab(): Pairing | null {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? 'null')
    return isSound(kept) ? kept : null
  } catch {
    return null
  }
}
