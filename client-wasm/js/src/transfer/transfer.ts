/**
 * Files from one peer to the other: verified, resumable, without holding them in memory. The same
 * protocol as `peersox send` and `peersox receive`. Here is what both directions share.
 *
 * @packageDocumentation
 */

import { type Line, orNull, type Progress, progressOf } from './machines.js'
import { ChannelResetError, ClosedError, Emitter, PeerSoxError, toHex, TransferError } from './shared.js'

/** One file or folder of a transfer. */
export interface TransferEntry {
  /** Its number in the offer. */
  readonly index: number
  /** Where it belongs, one name for each folder on the way. What is received is harmless on every common system. */
  readonly path: readonly string[]
  /** The last of these. */
  readonly name: string
  /** Folders are listed only if they are empty, or by other programs. */
  readonly kind: 'file' | 'directory'
  /** Length in bytes; `null` if it is unknown. */
  readonly size: number | null
  /** When it was last modified. Milliseconds since the Unix epoch. */
  readonly modified: number | null
  /** Whether it is a file that its owner may execute. */
  readonly executable: boolean
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

/** Where a transfer is. `interrupted`: the other peer was restarted, and the files are offered again when it is back. */
export type TransferState = 'offered' | 'active' | 'paused' | 'interrupted' | 'done' | 'declined' | 'cancelled' | 'failed'

/** What listeners of a transfer are given. */
export interface TransferEvents {
  /** It came further; at most ten times a second, and at the end of each file. */
  progress: TransferProgress
  /** It is somewhere else. */
  state: TransferState
  /** A file is complete and its hash was compared. Told on the receiving side. */
  file: TransferEntry
}

/** A transfer of files in either direction. */
export abstract class Transfer extends Emitter<TransferEvents> {
  /** Resolves when everything is stored and verified; rejects with a {@link TransferError}, or the reason of an abort. */
  readonly done: Promise<void>
  /** @internal */
  protected settle!: { resolve(): void; reject(error: unknown): void }
  #id = ''
  #entries: readonly TransferEntry[] = []
  #totalBytes: number | null = null
  #state: TransferState = 'offered'
  #paused = false
  #pausedThere = false
  #tellPause = (_paused: boolean) => {}
  #goOn: (() => void) | null = null
  #poked = false
  #wake: (() => void) | null = null
  #progress: Progress | null = null
  #told = 0
  #samples: [number, number][] = []

  /** @internal */
  constructor() {
    super()
    this.done = new Promise((resolve, reject) => (this.settle = { resolve, reject }))
    this.done.catch(() => {})
  }

  /** The name of the transfer: the same when the same files are offered again. 32 hex digits. */
  get id(): string {
    return this.#id
  }
  /** What is offered. */
  get entries(): readonly TransferEntry[] {
    return this.#entries
  }
  /** Bytes of all files; `null` if one is of unknown size. */
  get totalBytes(): number | null {
    return this.#totalBytes
  }
  /** Where it is. */
  get state(): TransferState {
    return this.#paused && this.#state === 'active' ? 'paused' : this.#state
  }
  /** Whether the other side says that it has paused. A change is told by `state`. */
  get pausedThere(): boolean {
    return this.#pausedThere && this.#state === 'active'
  }
  /** How far it has come. */
  get progress(): TransferProgress {
    const raw = this.#progress
    const [rate, done, total] = [this.#rate(), raw?.bytesDone ?? 0, raw ? raw.bytesTotal : this.#totalBytes]
    return {
      entry: this.#entries[raw?.entry ?? -1] ?? null,
      filesDone: raw?.filesDone ?? 0,
      filesTotal: raw?.filesTotal ?? this.#entries.filter((it) => it.kind === 'file').length,
      bytesDone: done,
      bytesTotal: total,
      bytesResumed: raw?.bytesResumed ?? 0,
      rate,
      eta: total === null || rate === 0 ? null : (total - done) / rate,
    }
  }

  /** Stops reading, or taking, bytes until {@link Transfer.resume}. The other side is told. */
  pause(): void {
    if (this.#paused || this.isOver) return
    this.#paused = true
    this.#tellPause(true)
    this.emit('state', this.state)
  }

  /** Goes on. */
  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#samples = []
    this.#tellPause(false)
    this.#goOn?.()
    this.emit('state', this.state)
  }

  /** Gives up and tells the other side. */
  cancel(reason = ''): void {
    if (this.isOver) return
    this.giveUp(new TransferError('transfer-cancelled', `this side stopped the transfer${reason && `: ${reason}`}`), reason)
  }

  /** Gives up for the reason of a signal. @internal */
  abort(reason: unknown): void {
    if (!this.isOver) this.giveUp(reason, '')
  }

  /** @internal */
  protected abstract giveUp(error: unknown, reason: string): void

  /** @internal */
  protected get isOver(): boolean {
    return ['done', 'declined', 'cancelled', 'failed'].includes(this.#state)
  }

  /** @internal */
  protected describe({ machine }: Line): void {
    const numbers = machine.numbers()
    this.#id = toHex(machine.id())
    this.#totalBytes = orNull(numbers[0]!)
    this.#entries = machine
      .paths()
      .split('\0')
      .map((line, index) => {
        const path = line.split('/')
        const [directory, size, modified, executable] = numbers.subarray(1 + 4 * index)
        return {
          index,
          path,
          name: path.at(-1)!,
          kind: directory ? 'directory' : 'file',
          size: orNull(size!),
          modified: orNull(modified!),
          executable: executable === 1,
        }
      })
  }

  /** @internal */
  protected enter(state: TransferState): void {
    if (this.#state === state || this.isOver) return
    this.#state = state
    this.emit('state', this.state)
  }

  /** Ends, well or not. @internal */
  protected end(error: unknown): void {
    if (this.isOver) return
    this.tell(true)
    if (error === null) {
      this.enter('done')
      return this.settle.resolve()
    }
    const code = error instanceof PeerSoxError ? error.code : ''
    this.enter(code === 'transfer-declined' ? 'declined' : code === 'transfer-failed' ? 'failed' : 'cancelled')
    this.settle.reject(error)
  }

  /** Waits while it is paused. @internal */
  protected async unpaused(): Promise<void> {
    while (this.#paused && !this.isOver) await new Promise<void>((resolve) => (this.#goOn = resolve))
  }

  /** Something happened that a step may use. @internal */
  protected readonly poke = (): void => {
    this.#poked = true
    this.#wake?.()
    // One that is given up does not stay paused.
    if (this.isOver) this.#goOn?.()
  }

  /** @internal */
  protected async poked(): Promise<void> {
    if (!this.#poked) await new Promise<void>((resolve) => (this.#wake = resolve))
    this.#poked = false
  }

  /** Hears when the channel has a message or room. @internal */
  protected listenTo(line: Line): void {
    const { channel, machine } = line
    channel.onReady = this.poke
    channel.on('writable', this.poke)
    line.onPause = (paused) => {
      if (this.#pausedThere === paused) return
      this.#pausedThere = paused
      this.emit('state', this.state)
    }
    this.#tellPause = (paused) => {
      if (this.isOver || line.isFreed) return
      machine.pause(paused)
      line.flush()
    }
  }

  /** @internal */
  protected measure({ machine }: Line, atOnce = false): void {
    this.#progress = progressOf(machine)
    this.tell(atOnce)
  }

  private tell(atOnce: boolean): void {
    const now = performance.now()
    if (!atOnce && now - this.#told < TELL_EVERY) return
    this.#told = now
    this.#samples.push([now, (this.#progress?.bytesDone ?? 0) - (this.#progress?.bytesResumed ?? 0)])
    while (this.#samples.length > 2 && now - this.#samples[0]![0] > RATE_OVER) this.#samples.shift()
    if (this.#progress) this.emit('progress', this.progress)
  }

  #rate(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)]
    if (!first || !last || last[0] === first[0]) return 0
    return Math.max(0, ((last[1] - first[1]) / (last[0] - first[0])) * 1e3)
  }
}

/** What broke a transfer off, as the error of that transfer. @internal */
export function asTransferError(error: unknown): unknown {
  if (error instanceof TransferError) return error
  if (error instanceof ChannelResetError && error.resetCode === 1) {
    return new TransferError('transfer-declined', 'the other side does not take files', { cause: error })
  }
  if (error instanceof ChannelResetError || error instanceof ClosedError || error === null) {
    const why = error?.message ?? 'the other side is gone'
    return new TransferError('transfer-failed', `the transfer was broken off: ${why}`, { cause: error })
  }
  return error
}

/** Milliseconds. */
const TELL_EVERY = 100
const RATE_OVER = 3_000
