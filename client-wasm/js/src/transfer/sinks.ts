/**
 * The sinks that come with the package; an application may write its own.
 *
 * @packageDocumentation
 */

import { transferCode } from './ondemand.js'
import type { MemorySink, TransferSink } from './sink.js'
import type { TransferEntry } from './transfer.js'

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
