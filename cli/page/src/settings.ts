/** What this browser is told once. */

import { deviceName } from './format.js'
import { cleanName } from './text.js'

interface Values {
  /** What the other device sees. */
  name: string
  /** Never try a direct path: the other device then does not learn this one's addresses. */
  relayOnly: boolean
  /** Several files that have arrived are saved without another click. */
  saveAll: boolean
}

const KEY = 'peersox.settings'

/** The settings, with defaults for what nobody set and for what makes no sense. */
export function settings(): Values {
  const defaults = { name: deviceName(), relayOnly: false, saveAll: false }
  try {
    const kept: Partial<Values> | null = JSON.parse(localStorage.getItem(KEY) ?? '{}')
    return {
      name: (typeof kept?.name === 'string' && cleanName(kept.name)) || defaults.name,
      relayOnly: kept?.relayOnly === true,
      saveAll: kept?.saveAll === true,
    }
  } catch {
    return defaults
  }
}

/** Keeps some of them. */
export function keepSettings(changed: Partial<Values>): void {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...settings(), ...changed }))
  } catch {
    // A browser that keeps nothing has them for as long as the page lives.
  }
}
