/**
 * Where received files go.
 *
 * | destination | needs | memory |
 * |---|---|---|
 * | `folder`, `file` | a picker (Chromium) and a secure page | bounded: written as they arrive |
 * | `private` | the browser's own file system and a secure page | bounded; saved by a download when complete |
 * | `memory` | nothing | the whole file, so it is capped |
 */

import { directorySink, memorySink, type MemorySink, type TransferEntry, type TransferSink } from 'peersox'
import { PrivateSink } from './private.js'

/** What a person chose, or all that the browser can do. */
export type Destination =
  | { kind: 'folder'; directory: FileSystemDirectoryHandle }
  | { kind: 'file'; handle: FileSystemFileHandle }
  | { kind: 'private'; sink: PrivateSink }
  | { kind: 'memory'; sink: MemorySink }

/** The most that is held in memory. */
export const MEMORY_CAP = 512_000_000

interface Pickers {
  showSaveFilePicker?(options: object): Promise<FileSystemFileHandle>
  showDirectoryPicker?(options: object): Promise<FileSystemDirectoryHandle>
}

const pickers = globalThis as Pickers

/** Whether a person can choose a place. */
export const CAN_PICK = 'showSaveFilePicker' in globalThis && 'showDirectoryPicker' in globalThis

/** Whether the browser has a file system of its own for this page. */
export const HAS_PRIVATE = isSecureContext && typeof navigator.storage?.getDirectory === 'function'

/** A place that a person picks; `null` if they would rather not. */
export async function pick(entries: readonly TransferEntry[]): Promise<Destination | null> {
  const only = entries.length === 1 && entries[0]?.kind === 'file' && entries[0].path.length === 1 ? entries[0] : null
  try {
    if (only) {
      const handle = await pickers.showSaveFilePicker?.({ suggestedName: only.name })
      return handle ? { kind: 'file', handle } : null
    }
    const directory = await pickers.showDirectoryPicker?.({ mode: 'readwrite' })
    return directory ? { kind: 'folder', directory } : null
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return null
    throw error
  }
}

/** A place that needs no question; a string says why there is none. */
export async function place(total: number | null): Promise<Destination | string> {
  if (HAS_PRIVATE) {
    const { quota = 0, usage = 0 } = await navigator.storage.estimate()
    if (total === null || total < quota - usage) return { kind: 'private', sink: new PrivateSink() }
    if (CAN_PICK) return 'The browser has no room for this of its own: choose a place on the disk.'
    return 'The browser has no room for this. Free some space on the disk, or use `peersox receive`.'
  }
  if (total !== null && total <= MEMORY_CAP) return { kind: 'memory', sink: memorySink() }
  return 'This browser can only hold files in memory here, up to 512 MB. Use https, another browser, or `peersox receive`.'
}

/** The sink of a destination. */
export function sinkFor(destination: Destination): TransferSink {
  switch (destination.kind) {
    case 'folder':
      return directorySink(destination.directory)
    case 'file':
      return fileSink(destination.handle)
    case 'private':
    case 'memory':
      return destination.sink
  }
}

/** Writes the only file of an offer where a person said. */
function fileSink(handle: FileSystemFileHandle): TransferSink {
  return {
    // Only what was written by an earlier attempt of this transfer would be a beginning of it.
    async open(_entry, offset) {
      const stream = await handle.createWritable({ keepExistingData: offset > 0 })
      if (offset > 0) await stream.seek(offset)
      return {
        write: (bytes) => stream.write(bytes as Uint8Array<ArrayBuffer>),
        close: () => stream.close(),
        abort: (error) => stream.abort(error),
      }
    },
  }
}

/** What can be saved by a download now that it is complete. */
export async function downloads(destination: Destination): Promise<{ entry: TransferEntry; blob: Blob }[]> {
  if (destination.kind === 'memory') return [...destination.sink.files]
  if (destination.kind === 'private') return destination.sink.files()
  return []
}

/** Hands a file to the browser's downloads. */
export function download(name: string, blob: Blob): void {
  const url = URL.createObjectURL(blob)
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  // The download has its own hold on the bytes once it has begun.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
