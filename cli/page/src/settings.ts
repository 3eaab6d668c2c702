/** What this browser is told once. */

import { deviceName } from './format.js'

interface Values {
  /** What the other device sees. */
  name: string
  /** Never try a direct path: the other device then does not learn this one's addresses. */
  relayOnly: boolean
}

const KEY = 'peersox.settings'

/** The settings, with defaults for what nobody set. */
export function settings(): Values {
  const defaults = { name: deviceName(), relayOnly: false }
  try {
    const kept: Partial<Values> = JSON.parse(localStorage.getItem(KEY) ?? '{}')
    return {
      name: typeof kept.name === 'string' && kept.name ? kept.name : defaults.name,
      relayOnly: kept.relayOnly === true,
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
