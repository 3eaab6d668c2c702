/**
 * A sink for a directory of the File System API.
 *
 * @internal
 * @packageDocumentation
 */

import type { FileWriter, TransferSink } from './sink.js'
import type { TransferEntry } from './transfer.js'

/** What {@link sinks.directorySink} stands for. */
export function directorySink(directory: FileSystemDirectoryHandle): TransferSink {
  const partName = (entry: TransferEntry, id: string) => `.peersox-part-${id}-${entry.index}`
  return {
    held: async (entry, id) => {
      try {
        return await (await directory.getFileHandle(partName(entry, id))).getFile()
      } catch {
        return null
      }
    },
    directory: async (entry) => void (await folder(directory, entry.path)),
    open: async (entry, offset, id) => {
      const name = partName(entry, id)
      const part = await directory.getFileHandle(name, { create: true })
      return new PartWriter(directory, part, name, entry, offset).begin()
    },
  }
}

class PartWriter implements FileWriter {
  #stream!: FileSystemWritableFileStream
  #at: number
  #kept: number

  constructor(
    readonly directory: FileSystemDirectoryHandle,
    readonly part: FileSystemFileHandle,
    readonly partName: string,
    readonly entry: TransferEntry,
    offset: number,
  ) {
    this.#at = this.#kept = offset
  }

  async begin(): Promise<this> {
    this.#stream = await this.part.createWritable({ keepExistingData: this.#at > 0 })
    if (this.#at > 0) {
      await this.#stream.truncate(this.#at)
      await this.#stream.seek(this.#at)
    }
    return this
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#stream.write(bytes as Uint8Array<ArrayBuffer>)
    this.#at += bytes.length
    // The browser keeps what is written aside until the stream is closed, and copies the file when it is opened
    // again. In steps that grow with the file that costs less than twice its size in all.
    if (this.#at - this.#kept >= Math.max(KEEP_EVERY, this.#kept)) {
      await this.#stream.close()
      this.#kept = this.#at
      await this.begin()
    }
  }

  async close(): Promise<void> {
    await this.#stream.close()
    const target = await folder(this.directory, this.entry.path.slice(0, -1))
    const name = await freeName(target, this.entry.name)
    // The compiler does not know this method.
    const movable = this.part as FileSystemFileHandle & {
      move?: (target: FileSystemDirectoryHandle, name: string) => Promise<void>
    }
    try {
      if (!movable.move) throw new Error('this browser cannot move files')
      await movable.move(target, name)
    } catch {
      const copy = await target.getFileHandle(name, { create: true })
      await (await this.part.getFile()).stream().pipeTo(await copy.createWritable())
      await this.directory.removeEntry(this.partName)
    }
  }

  async abort(_error: Error, resumable: boolean): Promise<void> {
    if (resumable) return this.#stream.close()
    await this.#stream.abort()
    await this.directory.removeEntry(this.partName)
  }
}

async function folder(root: FileSystemDirectoryHandle, path: readonly string[]): Promise<FileSystemDirectoryHandle> {
  let at = root
  for (const name of path) at = await at.getDirectoryHandle(name, { create: true })
  return at
}

/** The name itself, or with a number before its extension. */
async function freeName(directory: FileSystemDirectoryHandle, name: string): Promise<string> {
  const dot = name.lastIndexOf('.')
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, '']
  for (let number = 0; ; number++) {
    const candidate = number === 0 ? name : `${stem} (${number})${extension}`
    const taken = await directory.getFileHandle(candidate).then(
      () => true,
      // A folder of that name is in the way as well.
      (error: DOMException) => error.name !== 'NotFoundError',
    )
    if (!taken) return candidate
  }
}

const KEEP_EVERY = 32 << 20
