/**
 * Where received files go.
 *
 * @packageDocumentation
 */

import { transferCode } from './ondemand.js'
import type { TransferEntry } from './transfer.js'

/** Where received files go. Every method may be asynchronous; what comes next waits for it, so memory stays bounded. */
export interface TransferSink {
  /** What an earlier attempt left of a file, if anything. Called before the offer is accepted. */
  held?(entry: TransferEntry, transferId: string): Blob | null | undefined | Promise<Blob | null | undefined>
  /**
   * Begins a file at `offset`: zero, or the size of what {@link TransferSink.held} gave. What is held beyond it is
   * to be dropped.
   */
  open(entry: TransferEntry, offset: number, transferId: string): FileWriter | Promise<FileWriter>
  /** A folder is to be there. */
  directory?(entry: TransferEntry): void | Promise<void>
  /** All files are complete. The sender hears that they are stored when this is done. */
  complete?(): void | Promise<void>
}

/** One file being written. */
export interface FileWriter {
  /** Takes the next bytes. */
  write(bytes: Uint8Array): void | Promise<void>
  /** All bytes are there and verified. */
  close(): void | Promise<void>
  /** No more bytes will come. What was written may be kept for another attempt if `resumable`, else it is damaged. */
  abort(error: Error, resumable: boolean): void | Promise<void>
}

/** A sink that keeps files in memory: for small ones. */
export interface MemorySink extends TransferSink {
  /** What is complete. */
  readonly files: ReadonlyArray<{ readonly entry: TransferEntry; readonly blob: Blob }>
}

/** Makes a sink that keeps files in memory. */
export function memorySink(): MemorySink {
  const files: { entry: TransferEntry; blob: Blob }[] = []
  return {
    files,
    open: (entry) => {
      const parts: Uint8Array<ArrayBuffer>[] = []
      return {
        write: (bytes) => void parts.push(bytes as Uint8Array<ArrayBuffer>),
        close: () => void files.push({ entry, blob: new Blob(parts) }),
        abort: () => {},
      }
    },
  }
}

/** Makes a sink that writes each file to a stream. It cannot resume. */
export function streamSink(
  open: (entry: TransferEntry) => WritableStream<Uint8Array> | Promise<WritableStream<Uint8Array>>,
): TransferSink {
  return {
    open: async (entry) => {
      const writer = (await open(entry)).getWriter()
      return {
        write: async (bytes) => {
          await writer.ready
          await writer.write(bytes)
        },
        close: () => writer.close(),
        abort: (error) => writer.abort(error),
      }
    },
  }
}

/**
 * Makes a sink that writes below a directory of the File System API: one that a person chose, or that of
 * `navigator.storage.getDirectory()`. A name that is taken gets a number. Files that break off are kept under a name of
 * their own, `.peersox-part-…`, and go on there when they are offered again, even after the page was reloaded.
 */
export function directorySink(directory: FileSystemDirectoryHandle): TransferSink {
  // How comes with the rest of what transfers need; whoever has an offer has loaded it.
  const sink = async () => (await transferCode()).directorySink(directory) as Required<TransferSink>
  return {
    held: async (entry, id) => (await sink()).held(entry, id),
    directory: async (entry) => (await sink()).directory(entry),
    open: async (entry, offset, id) => (await sink()).open(entry, offset, id),
  }
}
