/**
 * Where received files go.
 *
 * | destination | needs | memory |
 * |---|---|---|
 * | `folder`, `file` | a picker (Chromium) and a secure page | bounded: written as they arrive |
 * | `private` | the browser's own file system and a secure page | bounded; saved by a download when complete |
 * | `memory` | nothing | all files, so they are capped together |
 */

import {
  directorySink,
  type IncomingTransfer,
  memorySink,
  type MemorySink,
  type Transfer,
  type TransferEntry,
  type TransferSink,
} from 'peersox'
import { bytes } from './format.js'
import { PrivateSink, removeFolder } from './private.js'

/** What a person chose, or all that the browser can do. */
export type Destination =
  | { kind: 'folder'; directory: FileSystemDirectoryHandle }
  | { kind: 'file'; handle: FileSystemFileHandle }
  | { kind: 'private'; sink: PrivateSink }
  | { kind: 'memory'; sink: MemorySink }

/** The most that is held in memory, by all transfers of this page together. */
const MEMORY_CAP = 512_000_000

/** What each transfer holds in memory, or may come to hold. */
const inMemory = new Map<TransferSink, number>()

/** Bytes that are held in memory, or may come to be. */
export function heldBytes(): number {
  return [...inMemory.values()].reduce((sum, it) => sum + it, 0)
}

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

/** Why there is no place for so many bytes without a question; `null` if there is one. */
export async function whyNoPlace(total: number | null): Promise<string | null> {
  if (HAS_PRIVATE) {
    const { quota = 0, usage = 0 } = await navigator.storage.estimate()
    if (total === null || total < quota - usage) return null
    const room = `The browser has room for ${bytes(Math.max(0, quota - usage))} of its own.`
    return `${room} ${CAN_PICK ? 'Choose a place on the disk instead.' : 'Free some space on the disk, or use `peersox receive`.'}`
  }
  const used = heldBytes()
  if (total !== null && total <= MEMORY_CAP - used) return null
  const held = used > 0 ? `, of which ${bytes(used)} are in use` : ''
  if (isSecureContext) return `This browser can only hold files in memory, up to ${bytes(MEMORY_CAP)}${held}. Use another browser, or \`peersox receive\`.`
  return (
    `This page came over plain HTTP, so the browser can only hold files in memory, up to ${bytes(MEMORY_CAP)}${held}. ` +
    'Take this with `peersox receive`, or let the server speak TLS: `peersox serve --tls-cert FILE --tls-key FILE`, with a ' +
    'certificate of a local authority such as mkcert, or of Let’s Encrypt by a proxy such as Caddy.'
  )
}

/** A place that needs no question; a string says why there is none. */
export async function place(transfer: IncomingTransfer, from: { pairing: string | null; title: string }): Promise<Destination | string> {
  const why = await whyNoPlace(transfer.totalBytes)
  if (why !== null) return why
  if (HAS_PRIVATE) return { kind: 'private', sink: new PrivateSink(transfer.digest, from) }
  return heldInMemory(transfer.totalBytes ?? 0)
}

/** The same place for an offer that comes again after it was broken off. */
export function placeAgain(destination: Destination, transfer: Transfer): Destination {
  if (destination.kind !== 'memory') return destination
  // Nothing of it can be gone on with.
  release(destination)
  return heldInMemory(transfer.totalBytes ?? 0)
}

function heldInMemory(total: number): Destination {
  const sink = memorySink()
  inMemory.set(sink, total)
  return { kind: 'memory', sink }
}

/** What a destination holds in memory is not needed any more. */
export function release(destination: Destination): void {
  if (destination.kind === 'memory') inMemory.delete(destination.sink)
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

/** A file was handed to the browser's downloads. */
export async function noteSaved(destination: Destination, index: number): Promise<void> {
  if (destination.kind === 'private') await destination.sink.saved(index).catch(() => {})
}

/** What was received is not needed any more here. */
export async function discard(destination: Destination): Promise<void> {
  release(destination)
  if (destination.kind === 'private') await removeFolder(destination.sink.folder).catch(() => {})
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
