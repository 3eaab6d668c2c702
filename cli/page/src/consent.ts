/** What a person is asked when files are offered, and when the answer holds for another offer. */

import type { TransferEntry } from 'peersox'
import { cleanPath } from './text.js'

/** Whether two offers are the same in every entry. A name alone says nothing: the other side chooses it. */
export function isSameOffer(one: readonly TransferEntry[], other: readonly TransferEntry[]): boolean {
  return one.length === other.length && one.every((it, at) => line(it) === line(other[at]!))
}

/** The whole offer in a few characters, for the name of a folder. Needs a secure page. */
export async function digestOf(entries: readonly TransferEntry[]): Promise<string> {
  const text = new TextEncoder().encode(entries.map(line).join('\n'))
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', text))
  return Array.from(hash.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function line(entry: TransferEntry): string {
  return JSON.stringify([entry.path, entry.kind, entry.size, entry.modified, (entry as { mode?: unknown }).mode ?? null])
}

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
  const { executable, mode } = entry as { executable?: unknown; mode?: unknown }
  if (executable === true || (typeof mode === 'number' && (mode & 0o111) !== 0)) return true
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
