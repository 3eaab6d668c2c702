/** What a person is asked when files are offered. */

import type { TransferEntry } from 'peersox'
import { cleanPath } from './text.js'

/** What a question names beside the first names. */
export interface Remarkable {
  /** Files and folders that file managers do not show. */
  hidden: string[]
  /** Files that run when they are opened. */
  programs: string[]
}

/** Finds what an offer holds that is to be named, wherever it stands in the list. */
export function remarkable(entries: readonly TransferEntry[]): Remarkable {
  const found: Remarkable = { hidden: [], programs: [] }
  for (const entry of entries) {
    if (entry.path.some((name) => name.startsWith('.'))) found.hidden.push(cleanPath(entry.path))
    if (entry.kind === 'file' && isProgram(entry)) found.programs.push(cleanPath(entry.path))
  }
  return found
}

function isProgram(entry: TransferEntry): boolean {
  if (entry.executable) return true
  return PROGRAMS.has(entry.name.toLowerCase().split('.').at(-1) ?? '') && entry.name.includes('.')
}

/** Endings that make a system run the file. */
const PROGRAMS = new Set(
  (
    'apk app appimage application appref-ms bash bat cmd com command cpl csh deb desktop dll dmg exe fish gadget hta ' +
    'inf ins iso jar js jse ksh lnk mobileconfig msc msi msix msp pif pkg pl ps1 psm1 py pyw rb reg rpm run ' +
    'scf scr service sh terminal url vb vbe vbs webloc workflow ws wsf wsh xbe xlsm docm pptm zsh'
  ).split(' '),
)
