/** What was dropped: files, and folders where the browser can read them. */

import type { Sendable } from 'peersox'

/** To be called in the event itself: afterwards the browser has forgotten. */
export function dropped(data: DataTransfer | null): Sendable[] {
  if (!data) return []
  const found: Sendable[] = []
  for (const item of data.items) {
    if (item.kind !== 'file') continue
    const entry = item.webkitGetAsEntry?.()
    const file = item.getAsFile()
    if (entry?.isDirectory) found.push(entry)
    else if (file) found.push(file)
  }
  return found
}
