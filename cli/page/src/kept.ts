/**
 * Received files that a page before this one left in the browser's own file system: what was not saved is shown again
 * until a person saves or deletes it.
 */

import type { AboutFile } from './private.js'
import { ABOUT, type About, root, writeAbout } from './private.js'

/** What was broken off, or saved, is removed when nobody has touched it for so long. Milliseconds. */
const BROKEN_KEPT = 86_400_000

/** The same for what is complete and was never saved. */
const UNSAVED_KEPT = 30 * 86_400_000

/** What one offer left. */
export interface KeptSet {
  readonly folder: string
  readonly about: About
  readonly files: readonly AboutFile[]
}

/** What is kept and was not saved, newest first. Removes what is too old. Never throws. */
export async function keptSets(): Promise<KeptSet[]> {
  const found: KeptSet[] = []
  try {
    const folders = await root()
    for await (const [name, handle] of folders.entries()) {
      const set = handle.kind === 'directory' ? await look(name, handle as FileSystemDirectoryHandle) : null
      if (set === 'old') await folders.removeEntry(name, { recursive: true }).catch(() => {})
      else if (set) found.push(set)
    }
  } catch {
    // No file system of its own, or a broken one: nothing is kept there.
  }
  return found.sort((one, other) => other.about.at - one.about.at)
}

async function look(name: string, folder: FileSystemDirectoryHandle): Promise<KeptSet | 'old' | null> {
  try {
    const { newest, sizes } = await stat(folder)
    const about = aboutOf(await text(folder))
    const files = about?.files.filter((it) => sizes.get(String(it.index)) === it.size) ?? []
    const unsaved = files.some((it) => !it.saved)
    if (newest < Date.now() - (unsaved ? UNSAVED_KEPT : BROKEN_KEPT)) return 'old'
    return about && unsaved ? { folder: name, about, files } : null
  } catch {
    return null
  }
}

async function stat(folder: FileSystemDirectoryHandle): Promise<{ newest: number; sizes: Map<string, number> }> {
  const sizes = new Map<string, number>()
  let newest = 0
  for await (const [name, handle] of folder.entries()) {
    if (handle.kind !== 'file') continue
    const file = await (handle as FileSystemFileHandle).getFile()
    newest = Math.max(newest, file.lastModified)
    sizes.set(name, file.size)
  }
  return { newest, sizes }
}

async function text(folder: FileSystemDirectoryHandle): Promise<string> {
  try {
    return await (await (await folder.getFileHandle(ABOUT)).getFile()).text()
  } catch {
    return ''
  }
}

/** Anything may stand there: what is not sound is as if it were not there. */
function aboutOf(json: string): About | null {
  try {
    const about: Partial<About> | null = JSON.parse(json)
    if (typeof about?.at !== 'number' || typeof about.from !== 'string' || !Array.isArray(about.files)) return null
    const pairing = typeof about.pairing === 'string' ? about.pairing : null
    return { pairing, from: about.from, at: about.at, files: about.files.filter(isFile) }
  } catch {
    return null
  }
}

function isFile(value: unknown): value is AboutFile {
  const it = value as Partial<AboutFile> | null
  return (
    typeof it?.index === 'number' &&
    typeof it.size === 'number' &&
    typeof it.saved === 'boolean' &&
    Array.isArray(it.path) &&
    it.path.length > 0 &&
    it.path.every((name) => typeof name === 'string')
  )
}

/** The bytes of one file; they stay on the disk. */
export async function keptBlob(set: KeptSet, file: AboutFile): Promise<Blob> {
  const folder = await (await root()).getDirectoryHandle(set.folder)
  return (await folder.getFileHandle(String(file.index))).getFile()
}

/** One was handed to the browser's downloads. */
export async function keptSaved(set: KeptSet, file: AboutFile): Promise<void> {
  file.saved = true
  await writeAbout(set.folder, set.about).catch(() => {})
}
