/**
 * Where received files go.
 *
 * @packageDocumentation
 */

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
