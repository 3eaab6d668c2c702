/** Lists of files: what is offered, and what can be saved. */

import type { TransferEntry } from 'peersox'
import { remarkable } from './consent.js'
import { h, icon, say } from './dom.js'
import { bytes, plural } from './format.js'
import { download } from './saving.js'
import { cleanPath } from './text.js'
import type { Packed } from './zip.js'

/** How many names are listed. */
export const MAX_NAMES = 200

/** How many are seen without a click. */
const FIRST_NAMES = 5

/** The folder in which everything lies; `null` if there is none. */
export function folderOf(entries: readonly Entry[]): string | null {
  const folder = entries[0]?.path[0] ?? null
  return entries.every((it) => it.path[0] === folder && (it.path.length > 1 || it.kind === 'directory')) ? folder : null
}

/** What a set of files is called: by its folder, by its only file, or by how many there are. */
export function titleOf(entries: readonly Entry[]): string {
  const folder = folderOf(entries)
  if (folder !== null) return `${cleanPath([folder])}/`
  const files = entries.filter((it) => it.kind !== 'directory')
  return entries.length === 1 && files[0] ? cleanPath(files[0].path.slice(-1)) : plural(files.length, 'file')
}

/** A file, unless it says that it is a folder. */
type Entry = { path: readonly string[]; kind?: TransferEntry['kind'] }

/** The names of an offer: the first ones at once, the rest on demand; folders come last. */
export function names(offered: readonly TransferEntry[]): HTMLElement {
  const entries = [...offered].sort((one, other) => Number(one.kind === 'directory') - Number(other.kind === 'directory'))
  const row = (entry: TransferEntry) =>
    h('li', {}, h('bdi', {}, cleanPath(entry.path) + (entry.kind === 'directory' ? '/' : '')), h('span', { class: 'soft' }, entry.size === null ? '' : bytes(entry.size)))
  const first = h('ul', {}, ...entries.slice(0, FIRST_NAMES).map(row))
  if (entries.length <= FIRST_NAMES) return h('div', { class: 'names' }, first)
  const list = h('ul', {})
  const rest = entries.length - FIRST_NAMES
  const details = h('details', {}, h('summary', {}, `and ${rest.toLocaleString('en')} more`), list)
  details.addEventListener('toggle', () => {
    if (!details.open || list.childElementCount > 0) return
    for (const entry of entries.slice(FIRST_NAMES, MAX_NAMES)) list.append(row(entry))
    if (entries.length > MAX_NAMES) list.append(h('li', {}, `and ${plural(entries.length - MAX_NAMES, 'more', 'more')}`))
  })
  return h('div', { class: 'names' }, first, details)
}

/** What is to be known before an offer is taken, wherever it stands in the list; `null` if there is nothing. */
export function warnings(entries: readonly TransferEntry[]): HTMLElement | null {
  const { hidden, programs } = remarkable(entries)
  const line = (what: string, found: string[]) => {
    const more = found.length > FIRST_NAMES ? `, and ${(found.length - FIRST_NAMES).toLocaleString('en')} more` : ''
    return found.length > 0 && h('p', {}, h('strong', {}, what), ` `, h('bdi', {}, found.slice(0, FIRST_NAMES).join(', ')), more)
  }
  const lines = [line('Hidden:', hidden), line('Can run as a program:', programs)]
  return lines.some(Boolean) ? h('div', { class: 'warnings' }, ...lines) : null
}

/** A file that can be saved. */
export interface Savable {
  path: readonly string[]
  size: number
  isSaved: boolean
  save(): void
  preview: HTMLElement | null
}

/** What can be saved, by one button each. */
export function savables(files: readonly Savable[]): HTMLElement[] {
  const rows = files.slice(0, MAX_NAMES).map((it) =>
    h(
      'li',
      {},
      h('button', { class: 'link', onclick: it.save }, icon(it.isSaved ? 'check' : 'down'), h('bdi', {}, `${it.isSaved ? 'Save again' : 'Save'} ${cleanPath(it.path)}`)),
      it.preview,
    ),
  )
  if (files.length > MAX_NAMES) rows.push(h('li', { class: 'soft' }, `and ${(files.length - MAX_NAMES).toLocaleString('en')} more`))
  return rows
}

/** A button that saves everything as one archive; `null` where that makes no sense. `files` gives them when it is pressed. */
export function packButton(
  listed: readonly { path: readonly string[] }[],
  isFirst: boolean,
  files: () => Promise<Packed[]>,
  done: () => void,
): HTMLButtonElement | null {
  if (listed.length < 2) return null
  const text = h('span', {}, 'Save as .zip')
  const button = h('button', { class: isFirst ? 'primary' : '' }, icon('folder'), text)
  button.addEventListener('click', async () => {
    button.disabled = true
    say(text, 'Packing …')
    try {
      const { pack } = await import('./zip.js')
      download(archiveName(listed), await pack(await files()))
      done()
      say(text, 'Save as .zip')
    } catch {
      say(text, 'Not packed: try again')
    } finally {
      button.disabled = false
    }
  })
  return button
}

/** The folder that all of it is in, else `files`. */
function archiveName(files: readonly { path: readonly string[] }[]): string {
  const first = files[0]?.path
  const folder = first && first.length > 1 && files.every((it) => it.path[0] === first[0]) ? first[0] : undefined
  return `${folder ?? 'files'}.zip`
}
