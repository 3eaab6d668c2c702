/**
 * Received files in the browser's own file system, written by a worker as they arrive.
 *
 * ```text
 *   received/
 *     DIGEST/           one offer: the same id with other entries is another folder
 *       0, 1, 2, …      its files by their numbers; what a closed page has left of one is found again
 *       about.json      what is complete: names, sizes, from whom, whether it was saved
 * ```
 */

import type { FileWriter, TransferEntry, TransferSink } from 'peersox'

declare const WORKER_URL: string

const ROOT = 'received'

/** The name of what lies beside the files. */
export const ABOUT = 'about.json'

/** How often `about.json` is written while files arrive. Milliseconds. */
const NOTE_EVERY = 2_000

/** What `about.json` says of one file. */
export interface AboutFile {
  /** The number that is its name. */
  index: number
  path: string[]
  size: number
  /** Whether it was handed to the browser's downloads. */
  saved: boolean
}

/** What `about.json` says. */
export interface About {
  /** The pairing by which it came. */
  pairing: string | null
  /** The other device as it was called. */
  from: string
  /** Milliseconds since the Unix epoch. */
  at: number
  files: AboutFile[]
}

/** What the worker is asked, and answers by the same number. */
export type Request =
  | { op: 'open'; call: number; folder: string; file: string; offset: number }
  | { op: 'write'; call: number; bytes: Uint8Array }
  | { op: 'close'; call: number }

/** See the module. */
export class PrivateSink implements TransferSink {
  readonly folder: string
  readonly #about: About
  readonly #entries = new Map<number, { entry: TransferEntry; size: number }>()
  readonly #writer = new Writer()
  #noted = 0

  /** Of one offer, whose folder has this name. */
  constructor(folder: string, from: { pairing: string | null; title: string }) {
    this.folder = folder
    this.#about = { pairing: from.pairing, from: from.title, at: Date.now(), files: [] }
  }

  async held(entry: TransferEntry): Promise<Blob | null> {
    try {
      const folder = await (await root()).getDirectoryHandle(this.folder)
      const handle = await folder.getFileHandle(String(entry.index))
      return await handle.getFile()
    } catch {
      return null
    }
  }

  async open(entry: TransferEntry, offset: number): Promise<FileWriter> {
    await this.#writer.open(this.folder, String(entry.index), offset)
    let size = offset
    return {
      write: (bytes) => {
        size += bytes.length
        return this.#writer.write(bytes)
      },
      close: async () => {
        await this.#writer.close()
        this.#entries.set(entry.index, { entry, size })
        // What is complete is found again, even if the page is closed before the rest has come.
        if (Date.now() - this.#noted > NOTE_EVERY) await this.remember()
      },
      abort: () => this.#writer.close(),
    }
  }

  /** The sender hears that everything is stored after this: from then on a page that comes back finds it. */
  async complete(): Promise<void> {
    await this.remember()
    this.#writer.end()
  }

  /** Notes what is complete, so that a page that comes back can offer it. */
  async remember(): Promise<void> {
    if (this.#entries.size === 0) return
    this.#noted = Date.now()
    const saved = new Set(this.#about.files.filter((it) => it.saved).map((it) => it.index))
    this.#about.files = [...this.#entries.values()].map(({ entry, size }) => ({
      index: entry.index,
      path: [...entry.path],
      size,
      saved: saved.has(entry.index),
    }))
    await this.#writer.about(this.folder, this.#about)
  }

  /** A file was handed to the browser's downloads. */
  async saved(index: number): Promise<void> {
    const file = this.#about.files.find((it) => it.index === index)
    if (!file || file.saved) return
    file.saved = true
    await writeAbout(this.folder, this.#about)
  }

  /** What is complete. The bytes stay on the disk. */
  async files(): Promise<{ entry: TransferEntry; blob: Blob }[]> {
    if (this.#entries.size === 0) return []
    const folder = await (await root()).getDirectoryHandle(this.folder)
    return Promise.all(
      [...this.#entries.values()].map(async ({ entry }) => {
        const handle = await folder.getFileHandle(String(entry.index))
        return { entry, blob: await handle.getFile() }
      }),
    )
  }
}

/** The page's end of the worker. */
class Writer {
  #worker: Worker | null = null
  #calls = new Map<number, { resolve(): void; reject(error: Error): void }>()
  #next = 0

  open(folder: string, file: string, offset: number): Promise<void> {
    return this.#ask({ op: 'open', folder, file, offset })
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#ask({ op: 'write', bytes })
  }

  close(): Promise<void> {
    return this.#ask({ op: 'close' })
  }

  async about(folder: string, about: About): Promise<void> {
    await this.open(folder, ABOUT, 0)
    await this.write(new TextEncoder().encode(JSON.stringify(about)))
    await this.close()
  }

  end(): void {
    this.#worker?.terminate()
    this.#worker = null
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

let line: Promise<unknown> = Promise.resolve()

/** Writes `about.json` anew, one after the other. */
export function writeAbout(folder: string, about: About): Promise<void> {
  const writer = new Writer()
  const text = structuredClone(about)
  const written = line.then(() => writer.about(folder, text)).finally(() => writer.end())
  line = written.catch(() => {})
  return written
}

/** The folder of all. */
export async function root(): Promise<FileSystemDirectoryHandle> {
  const storage = await navigator.storage.getDirectory()
  return storage.getDirectoryHandle(ROOT, { create: true })
}

/** Removes what one offer left. */
export async function removeFolder(folder: string): Promise<void> {
  await (await root()).removeEntry(folder, { recursive: true })
}
