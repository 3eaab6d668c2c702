/**
 * Files from one peer to the other: verified, resumable, without holding them in memory. The same
 * protocol as `peersox send` and `peersox receive`.
 *
 * @packageDocumentation
 */

import type { Entry, Incoming, Outgoing, Progress, Step } from '#engine'
import { toHex } from './bytes.js'
import type { Channel } from './channel.js'
import { Emitter } from './emitter.js'
import { ChannelResetError, ClosedError, PeerSoxError, TransferError } from './errors.js'
import { toError } from './failure.js'
import type { FileWriter, TransferSink } from './sinks.js'
import type { Source } from './sources.js'
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
  /** How far it has come. */
  get progress(): TransferProgress {
    const raw = this.#progress
    const [rate, done, total] = [this.#rate(), raw?.bytesDone ?? 0, raw ? (raw.bytesTotal ?? null) : this.#totalBytes]
    return {
      entry: raw?.entry === undefined ? null : (this.#entries[raw.entry] ?? null),
      filesDone: raw?.filesDone ?? 0,
      filesTotal: raw?.filesTotal ?? this.#entries.filter((it) => it.kind === 'file').length,
      bytesDone: done,
      bytesTotal: total,
      bytesResumed: raw?.bytesResumed ?? 0,
      rate,
      eta: total === null || rate === 0 ? null : (total - done) / rate,
    }
  }

  /** Stops reading, or taking, bytes until {@link Transfer.resume}. */
  pause(): void {
    if (this.#paused || this.isOver) return
    this.#paused = true
    this.emit('state', this.state)
  }

  /** Goes on. */
  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#samples = []
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
  protected describe(offer: { id: Uint8Array; entries: Entry[]; totalBytes?: number }): void {
    this.#id = toHex(offer.id)
    this.#totalBytes = offer.totalBytes ?? null
    this.#entries = offer.entries.map((it, index) => ({
      index,
      path: it.path,
      name: it.path.at(-1) ?? '',
      kind: it.directory ? 'directory' : 'file',
      size: it.size ?? null,
      modified: it.modified ?? null,
    }))
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

  /** @internal */
  protected measure(progress: Progress, atOnce = false): void {
    this.#progress = progress
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

/** Files on their way to the other peer. If that is restarted, they are offered anew and go on where it stopped. */
export class OutgoingTransfer extends Transfer {
  readonly #sources: Source[]
  readonly #open: () => Promise<[Channel, Outgoing]>
  #machine: Outgoing | null = null
  #error: unknown = null

  /** @internal */
  constructor(sources: Source[], open: () => Promise<[Channel, Outgoing]>) {
    super()
    this.#sources = sources
    this.#open = open
  }

  /** Makes the offer; resolves when it is under way. @internal */
  async start(): Promise<void> {
    const begun = await this.#open()
    this.describe(begun[1].offer())
    void this.#runs(...begun)
  }

  /** @internal */
  protected giveUp(error: unknown, reason: string): void {
    this.#error ??= error
    this.#machine?.cancel(INTERRUPTED, reason)
    this.resume()
    this.poke()
    if (!this.#machine) this.end(error)
  }

  async #runs(first: Channel, machine: Outgoing): Promise<void> {
    let channel = first
    for (;;) {
      this.#machine = machine
      try {
        await this.#run(channel, machine)
        void channel.finish()
        return this.end(this.#error)
      } catch (thrown) {
        const error = toError(thrown)
        if (!wasRestarted(error) || this.#error !== null) {
          void channel.finish()
          return this.end(this.#error ?? asTransferError(error))
        }
      } finally {
        this.#machine = null
        machine.free()
      }
      this.enter('interrupted')
      try {
        ;[channel, machine] = await this.#open()
      } catch (error) {
        return this.end(asTransferError(error))
      }
      if (this.isOver) return
    }
  }

  async #run(channel: Channel, machine: Outgoing): Promise<void> {
    channel.onReady = this.poke
    channel.on('writable', this.poke)
    for (;;) {
      if (channel.isOver) throw channel.overBy
      const step = machine.step()
      if (step.ask === ASK_FINISHED) return
      if (step.ask === ASK_READ) {
        this.enter('active')
        await this.unpaused()
        if (this.#error !== null) continue
        const source = this.#sources[step.entry]!
        try {
          const bytes = await source.read(step.offset, step.max)
          if (this.#error === null) machine.feed(bytes)
        } catch (error) {
          this.#error ??= new TransferError('transfer-failed', `${source.path.join('/')} cannot be read`, { cause: error })
          machine.cancel(SOURCE_FAILED, 'a file cannot be read')
        }
        this.measure(machine.progress())
      } else {
        await this.poked()
      }
    }
  }
}

/** How to take an offer. */
export interface AcceptOptions extends Abortable {
  /** Files to leave. */
  skip?: ((entry: TransferEntry) => boolean) | undefined
}

/** Files that the other peer offers. Nothing is sent before {@link IncomingTransfer.accept}. */
export class IncomingTransfer extends Transfer {
  readonly #channel: Channel
  readonly #machine: Incoming
  #error: unknown = null
  #answered = false
  #sink: TransferSink | null = null
  #writer: { entry: number; writer: FileWriter } | null = null
  readonly #held = new Map<number, number>()

  /** @internal */
  constructor(channel: Channel, machine: Incoming) {
    super()
    this.#channel = channel
    this.#machine = machine
    channel.onReady = this.poke
    channel.on('writable', this.poke)
  }

  /** Waits for the offer; false if none came. @internal */
  async offered(): Promise<boolean> {
    try {
      const step = await this.#next()
      if (step.ask !== ASK_OFFERED) return false
      this.describe(this.#machine.offer())
      // From here on a sender that gives up is noticed before there is an answer, too.
      void this.#untilAnswered()
      return true
    } catch {
      return false
    }
  }

  /**
   * Takes the files. Those of which `sink` holds a beginning go on after it.
   *
   * Resolves when everything is stored, as {@link Transfer.done} does.
   */
  async accept(sink: TransferSink, options: AcceptOptions = {}): Promise<void> {
    if (this.#answered) throw new TypeError('the offer was answered already')
    this.#answered = true
    const signal = options.signal
    const abort = () => this.giveUp(signal?.reason, '')
    if (signal?.aborted) abort()
    signal?.addEventListener('abort', abort, { once: true })
    try {
      this.#sink = sink
      if (this.#error === null) {
        await this.#choose(sink, options)
        if (this.#error === null) this.#machine.accept()
      }
    } catch (error) {
      this.#fail(error)
    }
    this.enter('active')
    this.poke()
    void this.#run()
    try {
      await this.done
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Takes nothing. */
  decline(reason = ''): void {
    if (this.#answered) return
    this.#answered = true
    this.#machine.decline(reason)
    this.#error = new TransferError('transfer-declined', 'this side declined the files')
    this.poke()
    void this.#run()
  }

  /** @internal */
  protected giveUp(error: unknown, reason: string): void {
    const unanswered = !this.#answered
    this.#answered = true
    this.#error ??= error
    this.#machine.cancel(INTERRUPTED, reason)
    this.resume()
    this.poke()
    if (unanswered) void this.#run()
  }

  async #untilAnswered(): Promise<void> {
    while (!this.#answered && !this.isOver) {
      if (this.#channel.isOver) return this.end(asTransferError(this.#channel.overBy))
      await this.poked()
      if (this.#answered) return
      try {
        this.#machine.step()
      } catch (thrown) {
        return this.end(asTransferError(toError(thrown)))
      }
    }
  }

  async #choose(sink: TransferSink, options: AcceptOptions): Promise<void> {
    for (const entry of this.entries) {
      if (entry.kind === 'directory') {
        await sink.directory?.(entry)
        continue
      }
      if (options.skip?.(entry)) {
        this.#machine.skip(entry.index)
        continue
      }
      const held = entry.size ? await sink.held?.(entry, this.id) : null
      if (!held || held.size === 0 || held.size > (entry.size ?? 0)) continue
      for (let at = 0; at < held.size && this.#error === null; at += HASH_AT_ONCE) {
        const part = await held.slice(at, at + HASH_AT_ONCE).arrayBuffer()
        this.#machine.hold(entry.index, new Uint8Array(part))
      }
      this.#held.set(entry.index, held.size)
    }
  }

  async #next(): Promise<Step> {
    for (;;) {
      if (this.#channel.isOver) throw this.#channel.overBy
      const step = this.#machine.step()
      if (step.ask !== ASK_WAIT) return step
      await this.poked()
    }
  }

  async #run(): Promise<void> {
    let error: unknown = null
    try {
      while (await this.#turn()) this.measure(this.#machine.progress())
    } catch (thrown) {
      error = asTransferError(toError(thrown))
    }
    error = this.#error ?? error
    if (error !== null && this.#writer) {
      const damaged = error instanceof PeerSoxError && error.message.includes('damaged')
      await Promise.resolve(this.#writer.writer.abort(error as Error, !damaged)).catch(() => {})
    }
    // What was said last is still to arrive.
    void this.#channel.finish()
    this.end(error)
    this.#machine.free()
  }

  async #turn(): Promise<boolean> {
    await this.unpaused()
    const step = await this.#next()
    try {
      switch (step.ask) {
        case ASK_FINISHED:
          return false
        case ASK_WRITE: {
          const writer = await this.#writerOf(step.entry, step.offset)
          await writer.write(step.bytes)
          break
        }
        case ASK_COMPLETE: {
          const writer = await this.#writerOf(step.entry, this.#held.get(step.entry) ?? 0)
          this.#writer = null
          await writer.close()
          this.measure(this.#machine.progress(), true)
          this.emit('file', this.entries[step.entry]!)
          break
        }
        case ASK_STORE:
          await this.#sink?.complete?.()
          if (this.#error === null) this.#machine.stored()
          break
      }
    } catch (error) {
      this.#fail(error)
    }
    return true
  }

  async #writerOf(entry: number, offset: number): Promise<FileWriter> {
    if (this.#writer?.entry !== entry) {
      const writer = await this.#sink!.open(this.entries[entry]!, offset, this.id)
      this.#writer = { entry, writer }
    }
    return this.#writer.writer
  }

  #fail(cause: unknown): void {
    this.#error ??= new TransferError('transfer-failed', 'a file cannot be stored', { cause })
    this.#machine.cancel(SINK_FAILED, 'a file cannot be stored')
  }
}

function wasRestarted(error: unknown): boolean {
  return error instanceof ChannelResetError && error.resetCode === null
}

function asTransferError(error: unknown): unknown {
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

const ASK_WAIT = 0
const ASK_FINISHED = 1
const ASK_READ = 2
const ASK_OFFERED = 3
const ASK_WRITE = 4
const ASK_COMPLETE = 5
const ASK_STORE = 6

const INTERRUPTED = 1
const SOURCE_FAILED = 2
const SINK_FAILED = 3

/** Milliseconds. */
const TELL_EVERY = 100
const RATE_OVER = 3_000
const HASH_AT_ONCE = 1 << 20
