/**
 * Files from one peer to the other: verified, resumable, without holding them in memory. The same
 * protocol as `peersox send` and `peersox receive`.
 *
 * @packageDocumentation
 */

import { Emitter } from './emitter.js'
import type { Abortable } from './types.js'

/** One file or folder of a transfer. */
export interface TransferEntry {
  /** Its number in the offer. */
  readonly index: number
  /** Where it belongs, one name for each folder on the way. Harmless on every common system. */
  readonly path: readonly string[]
  /** The last of these. */
  readonly name: string
  /** Folders are listed only if they are empty, or by other programs. */
  readonly kind: 'file' | 'directory'
  /** Length in bytes; `null` if it is unknown. */
  readonly size: number | null
  /** When it was last modified. Milliseconds since the Unix epoch. */
  readonly modified: number | null
}

/** How far a transfer has come. */
export interface TransferProgress {
  /** The file at work. */
  readonly entry: TransferEntry | null
  /** Files that are complete. */
  readonly filesDone: number
  /** Files to transfer. */
  readonly filesTotal: number
  /** Bytes that are there. */
  readonly bytesDone: number
  /** Bytes of all files; `null` if one is of unknown size. */
  readonly bytesTotal: number | null
  /** The part of `bytesDone` that an earlier attempt left. */
  readonly bytesResumed: number
  /** Bytes per second, over the last few seconds. */
  readonly rate: number
  /** Seconds to the end at this rate; `null` if that cannot be told. */
  readonly eta: number | null
}

/** Where a transfer is. `interrupted`: the other peer is away or was restarted; it goes on when that is back. */
export type TransferState =
  | 'offered'
  | 'active'
  | 'paused'
  | 'interrupted'
  | 'done'
  | 'declined'
  | 'cancelled'
  | 'failed'

/** What listeners of a transfer are given. */
export interface TransferEvents {
  /** It came further; at most ten times a second, and at the end of each file. */
  progress: TransferProgress
  /** It is somewhere else. */
  state: TransferState
  /** A file is complete and its hash was compared. */
  file: TransferEntry
}

/** A transfer of files in either direction. */
export abstract class Transfer extends Emitter<TransferEvents> {
  /** The name of the transfer: the same when the same files are offered again. */
  abstract readonly id: string
  /** What is offered. */
  abstract readonly entries: readonly TransferEntry[]
  /** Bytes of all files; `null` if one is of unknown size. */
  abstract readonly totalBytes: number | null
  /** Where it is. */
  abstract readonly state: TransferState
  /** How far it has come. */
  abstract readonly progress: TransferProgress
  /** Resolves when everything is stored and verified; rejects with a {@link TransferError}. */
  abstract readonly done: Promise<void>
  /** Stops reading, or taking, bytes until {@link Transfer.resume}. */
  abstract pause(): void
  /** Goes on. */
  abstract resume(): void
  /** Gives up and tells the other side. */
  abstract cancel(reason?: string): void
}

/** Files on their way to the other peer. If that is restarted, they are offered anew and go on where it stopped. */
export abstract class OutgoingTransfer extends Transfer {}

/** Files that the other peer offers. Nothing is sent before {@link IncomingTransfer.accept}. */
export abstract class IncomingTransfer extends Transfer {
  /**
   * Takes the files. Files of which `sink` holds a beginning go on after it.
   *
   * Resolves when everything is stored.
   */
  abstract accept(sink: TransferSink, options?: AcceptOptions): Promise<void>
  /** Takes nothing. */
  abstract decline(reason?: string): void
}

/** How to take an offer. */
export interface AcceptOptions extends Abortable {
  /** Files to leave. */
  skip?: (entry: TransferEntry) => boolean
}

/** Where received files go. Every method may be asynchronous; writing waits for it, so memory stays bounded. */
export interface TransferSink {
  /** What an earlier attempt left of a file, if anything. Called before the offer is accepted. */
  held?(entry: TransferEntry, transferId: string): Blob | null | undefined | Promise<Blob | null | undefined>
  /** Begins a file at `offset`: zero, or the size of what {@link TransferSink.held} gave. */
  open(entry: TransferEntry, offset: number, transferId: string): FileWriter | Promise<FileWriter>
  /** A folder is to be there. */
  directory?(entry: TransferEntry): void | Promise<void>
  /** All files are complete. The sender hears that they are stored when this is done. */
  complete?(): void | Promise<void>
}

/** One file being written. */
export interface FileWriter {
  /** Takes the next bytes. `bytes` is only good until the promise is settled. */
  write(bytes: Uint8Array): void | Promise<void>
  /** All bytes are there and verified. */
  close(): void | Promise<void>
  /** No more bytes will come, or they are damaged. What was written may be kept for another attempt if `resumable`. */
  abort(error: Error, resumable: boolean): void | Promise<void>
}

/** What can be sent: files of a dialogue, dropped entries, handles, or bytes with a name. */
export type Sendable =
  | File
  | FileSystemHandle
  | FileSystemEntry
  | { readonly path: string | readonly string[]; readonly data: Blob | BufferSource | string; readonly modified?: number }

/** A sink that keeps files in memory: for small ones. */
export interface MemorySink extends TransferSink {
  /** What is complete. */
  readonly files: ReadonlyArray<{ entry: TransferEntry; blob: Blob }>
}

/** Makes a sink that keeps files in memory. */
export declare function memorySink(): MemorySink

/** Makes a sink that writes below a directory of the File System API, also of `navigator.storage`. Names that are taken get a number. */
export declare function directorySink(directory: FileSystemDirectoryHandle): TransferSink

/** Makes a sink that writes each file to a stream. Cannot resume. */
export declare function streamSink(
  open: (entry: TransferEntry) => WritableStream<Uint8Array> | Promise<WritableStream<Uint8Array>>,
): TransferSink
