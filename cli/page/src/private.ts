/**
 * Received files in the browser's own file system, written by a worker as they arrive.
 *
 * Each transfer has a folder named by its id, each file a name by its number: what a closed page has left of a
 * file is found again when the same transfer is offered once more.
 */

import type { FileWriter, TransferEntry, TransferSink } from 'peersox'

declare const WORKER_URL: string

const ROOT = 'received'

/** What the worker is asked, and answers by the same number. */
export type Request =
  | { op: 'open'; call: number; folder: string; file: string; offset: number }
  | { op: 'write'; call: number; bytes: Uint8Array }
  | { op: 'close'; call: number }

/** See the module. */
export class PrivateSink implements TransferSink {
  readonly #entries: TransferEntry[] = []
  #id = ''
  #worker: Worker | null = null
  #calls = new Map<number, { resolve(): void; reject(error: Error): void }>()
  #next = 0

  async held(entry: TransferEntry, transferId: string): Promise<Blob | null> {
    try {
      const folder = await (await root()).getDirectoryHandle(transferId)
      const handle = await folder.getFileHandle(String(entry.index))
      return await handle.getFile()
    } catch {
      return null
    }
  }

  async open(entry: TransferEntry, offset: number, transferId: string): Promise<FileWriter> {
    this.#id = transferId
    await this.#ask({ op: 'open', folder: transferId, file: String(entry.index), offset })
    return {
      write: (bytes) => this.#ask({ op: 'write', bytes }),
      close: async () => {
        await this.#ask({ op: 'close' })
        this.#entries.push(entry)
      },
      abort: () => this.#ask({ op: 'close' }),
    }
  }

  complete(): void {
    this.#worker?.terminate()
    this.#worker = null
  }

  /** What is complete. The bytes stay on the disk. */
  async files(): Promise<{ entry: TransferEntry; blob: Blob }[]> {
    const folder = await (await root()).getDirectoryHandle(this.#id)
    return Promise.all(
      this.#entries.map(async (entry) => {
        const handle = await folder.getFileHandle(String(entry.index))
        return { entry, blob: await handle.getFile() }
      }),
    )
  }

  #ask(request: DistributiveOmit<Request, 'call'>): Promise<void> {
    const worker = (this.#worker ??= this.#start())
    const call = this.#next++
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject })
      worker.postMessage({ ...request, call })
    })
  }

  #start(): Worker {
    const worker = new Worker(WORKER_URL)
    worker.onmessage = ({ data }: MessageEvent<{ call: number; error?: string }>) => {
      const waiting = this.#calls.get(data.call)
      this.#calls.delete(data.call)
      if (data.error === undefined) waiting?.resolve()
      else waiting?.reject(new Error(data.error))
    }
    worker.onerror = () => {
      for (const waiting of this.#calls.values()) waiting.reject(new Error('the worker that writes files has failed'))
      this.#calls.clear()
    }
    return worker
  }
}

type DistributiveOmit<T, K extends keyof any> = T extends unknown ? Omit<T, K> : never

async function root(): Promise<FileSystemDirectoryHandle> {
  const storage = await navigator.storage.getDirectory()
  return storage.getDirectoryHandle(ROOT, { create: true })
}

/** How long something that was received, or broken off, may lie about. */
const KEPT_MS = 86_400_000

/** Removes what nobody has touched for a day. */
export async function tidy(): Promise<void> {
  const folder = await root()
  for await (const [name, handle] of folder.entries()) {
    let newest = 0
    for await (const file of (handle as FileSystemDirectoryHandle).values()) {
      if (file.kind === 'file') newest = Math.max(newest, (await (file as FileSystemFileHandle).getFile()).lastModified)
    }
    if (newest < Date.now() - KEPT_MS) await folder.removeEntry(name, { recursive: true })
  }
}
