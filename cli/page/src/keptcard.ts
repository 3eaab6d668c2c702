/** Files that arrived before this page was loaded, to be saved or deleted. */

import { ask } from './dialogs.js'
import { announce, h, icon, say } from './dom.js'
import { packButton, type Savable, savables, titleOf } from './files.js'
import { bytes, timeOfDay } from './format.js'
import { type KeptSet, keptBlob, keptSaved } from './kept.js'
import { removeFolder } from './private.js'
import { download } from './saving.js'
import { cleanName, fileName } from './text.js'

/** Makes a card; `changed` is called when everything of it is saved or deleted. */
export function keptCard(set: KeptSet, changed: () => void): HTMLElement {
  const state = h('p', { class: 'transfer-state' })
  const saves = h('ul', { class: 'saves' })
  const buttons = h('div', { class: 'buttons' })
  const problem = h('p', { class: 'problem', role: 'alert' })
  const { files, about } = set
  const title = titleOf(files)
  const size = bytes(files.reduce((sum, it) => sum + it.size, 0))
  const day = new Date(about.at).toLocaleDateString([], { day: 'numeric', month: 'short' })

  const save = async (file: (typeof files)[number]) => {
    try {
      download(fileName(file.path), await keptBlob(set, file))
      await keptSaved(set, file)
    } catch {
      say(problem, 'The browser does not have this file any more. Ask for it to be sent again.')
    }
    draw()
    if (files.every((it) => it.saved)) changed()
  }
  const remove = async () => {
    const what = files.some((it) => !it.saved) ? 'Not all of it was saved.' : 'If it did not come to your downloads, it is gone then.'
    if (!(await ask('Remove it from this browser?', what, 'Remove', 'Keep'))) return
    await removeFolder(set.folder).catch(() => {})
    element.remove()
    announce(`${title} was deleted.`)
    changed()
  }
  const draw = () => {
    const left = files.some((it) => !it.saved)
    say(state, left ? 'Received and verified, not saved yet' : 'Received and verified; given to your downloads')
    const rows = files.map(
      (file): Savable => ({ path: file.path, size: file.size, isSaved: file.saved, save: () => void save(file), preview: null }),
    )
    saves.replaceChildren(...savables(rows))
    const all = h('button', { class: left ? 'primary' : '', onclick: () => files.forEach((file) => void save(file)) }, icon('down'), 'Save all')
    const packed = () => Promise.all(files.map(async (it) => ({ path: it.path, blob: await keptBlob(set, it), modified: null })))
    const zip = packButton(files, false, packed, () => {
      for (const file of files) void keptSaved(set, file)
      draw()
      changed()
    })
    buttons.replaceChildren(...(files.length > 1 ? [all] : []), ...(zip ? [zip] : []), h('button', { class: 'quiet', onclick: () => void remove() }, icon('trash'), 'Delete'))
  }
  const element = h(
    'article',
    { class: 'transfer theirs kept', 'data-state': 'kept', 'aria-label': `Received earlier: ${title}` },
    h(
      'header',
      {},
      h('span', { class: 'transfer-icon' }, icon(files.length > 1 ? 'folder' : 'file')),
      h(
        'div',
        { class: 'transfer-title' },
        h('strong', {}, h('bdi', {}, title)),
        h('span', { class: 'soft' }, `${size} · from ${cleanName(about.from)} · ${day}, ${timeOfDay(about.at)}`),
      ),
    ),
    state,
    problem,
    saves,
    buttons,
  )
  draw()
  return element
}
