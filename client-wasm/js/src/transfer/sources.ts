/**
 * What can be sent.
 *
 * @packageDocumentation
 */

import { throwIfAborted } from './shared.js'

/** Bytes with a name. */
export interface NamedData {
  /** The name, with folders before it: `photos/one.jpg`, or a list. */
  readonly path: string | readonly string[]
  /** The bytes, or text. */
  readonly data: Blob | BufferSource | string
  /** When it was last modified. Milliseconds since the Unix epoch. */
  readonly modified?: number | undefined
}

/** What can be sent: files of a dialogue, handles, dropped entries, or bytes with a name. */
export type Sendable = File | FileSystemHandle | FileSystemEntry | NamedData

/** One file or empty folder to send. @internal */
export class Source {
  #block: { at: number; bytes: Uint8Array } | null = null
  #next: { at: number; bytes: Promise<ArrayBuffer> } | null = null

  constructor(
    readonly path: string[],
    readonly blob: Blob | null,
    readonly modified: number | undefined,
  ) {}

  /** Up to `max` bytes at an offset; none at the end. Reads larger blocks, and the next one ahead. */
  async read(offset: number, max: number): Promise<Uint8Array> {
    const blob = this.blob!
    let block = this.#block
    if (!block || offset < block.at || offset >= block.at + block.bytes.length) {
      const bytes = this.#next?.at === offset ? this.#next.bytes : this.#load(offset)
      block = this.#block = { at: offset, bytes: new Uint8Array(await bytes) }
      const after = offset + block.bytes.length
      this.#next = after < blob.size ? { at: after, bytes: this.#load(after) } : null
      this.#next?.bytes.catch(() => {})
    }
    const start = offset - block.at
    return block.bytes.subarray(start, start + max)
  }

  #load(offset: number): Promise<ArrayBuffer> {
    return this.blob!.slice(offset, offset + BLOCK).arrayBuffer()
  }
}

/** Lists every file below what was given. @internal */
export async function sources(given: Iterable<Sendable>, signal?: AbortSignal): Promise<Source[]> {
  const found: Source[] = []
  for (const it of given) {
    for await (const source of walk(it, [])) {
      throwIfAborted(signal)
      found.push(source)
    }
  }
  return found
}

async function* walk(it: Sendable, below: string[]): AsyncGenerator<Source> {
  if (it instanceof File) {
    const path = it.webkitRelativePath ? it.webkitRelativePath.split('/') : [it.name]
    yield new Source([...below, ...path], it, it.lastModified)
  } else if ('kind' in it) {
    yield* walkHandle(it as FileSystemFileHandle | FileSystemDirectoryHandle, below)
  } else if ('isFile' in it) {
    yield* walkEntry(it, below)
  } else if ('data' in it) {
    const path = typeof it.path === 'string' ? it.path.split('/') : [...it.path]
    const blob = it.data instanceof Blob ? it.data : new Blob([it.data as BlobPart])
    yield new Source([...below, ...path], blob, it.modified)
  } else {
    throw new TypeError('only files, folders and named data can be sent')
  }
}

async function* walkHandle(
  handle: FileSystemFileHandle | FileSystemDirectoryHandle,
  below: string[],
): AsyncGenerator<Source> {
  const path = [...below, handle.name]
  if (handle.kind === 'file') {
    const file = await handle.getFile()
    return yield new Source(path, file, file.lastModified)
  }
  let empty = true
  const children = (handle as unknown as { values(): AsyncIterable<typeof handle> }).values()
  for await (const child of children) {
    empty = false
    yield* walkHandle(child, path)
  }
  if (empty) yield new Source(path, null, undefined)
}

async function* walkEntry(entry: FileSystemEntry, below: string[]): AsyncGenerator<Source> {
  const path = [...below, entry.name]
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))
    return yield new Source(path, file, file.lastModified)
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  let empty = true
  for (;;) {
    // A hundred at a time; none says that it was all.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (some.length === 0) break
    empty = false
    for (const child of some) yield* walkEntry(child, path)
  }
  if (empty) yield new Source(path, null, undefined)
}

const BLOCK = 2 << 20
