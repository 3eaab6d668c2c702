/**
 * Files from the other peer.
 *
 * @packageDocumentation
 */

import { Ask, Cancel } from '#tables'
import { Incoming } from '#transfer'
import type { Channel } from '../api/channel.js'
import { Line } from './machines.js'
import { Agreements } from './agreements.js'
import { toHex, TransferError } from './shared.js'
import type { FileWriter, TransferSink } from './sink.js'
import { asTransferError, Transfer, type TransferEntry } from './transfer.js'
import type { Abortable } from '../api/types.js'

/** How to take an offer. */
export interface AcceptOptions extends Abortable {
  /** Files to leave. */
  skip?: ((entry: TransferEntry) => boolean) | undefined
}

/** Files that the other peer offers. Nothing is sent before {@link IncomingTransfer.accept}. */
export class IncomingTransfer extends Transfer {
  readonly #channel: Channel
  readonly #machine: Incoming
  readonly #line: Line<Incoming>
  #error: unknown = null
  #answered = false
  #sink: TransferSink | null = null
  #writer: { entry: number; writer: FileWriter } | null = null
  readonly #held = new Map<number, number>()
  #missing = 0
  #digest = ''
  #device = ''

  readonly #agreements: Agreements

  /** @internal */
  constructor(channel: Channel, agreements: Agreements = new Agreements()) {
    super()
    this.#channel = channel
    this.#agreements = agreements
    this.#machine = new Incoming()
    this.#line = new Line(channel, this.#machine)
    this.listenTo(this.#line)
  }

  /**
   * A hash of all that is offered: names, sizes, times and more. Two offers with one digest are the same; offers with one
   * {@link Transfer.id} need not be. 64 hex digits.
   */
  get digest(): string {
    return this.#digest
  }
  /**
   * Whether this very offer was accepted before on this client, and not declined or cancelled since: it is offered again
   * after the other side was restarted. Whoever asks a person before accepting need not ask again if this is true, and has
   * to ask if it is not.
   */
  get agreed(): boolean {
    return this.#agreements.has(this.#digest)
  }
  /** What the other device is called, as its program says; may be empty. */
  get device(): string {
    return this.#device
  }

  /** Waits for the offer; false if none came. @internal */
  async offered(): Promise<boolean> {
    try {
      if ((await this.#next()) !== Ask.Offered) return false
      this.describe(this.#line)
      this.#digest = toHex(this.#machine.digest())
      this.#device = this.#machine.device()
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
    this.#agreements.remember(this.#digest, true)
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
    this.#agreements.remember(this.#digest, false)
    this.#machine.decline(reason)
    this.#error = new TransferError('transfer-declined', 'this side declined the files')
    this.poke()
    void this.#run()
  }

  /** @internal */
  protected giveUp(error: unknown, reason: string): void {
    const unanswered = !this.#answered
    this.#answered = true
    this.#agreements.remember(this.#digest, false)
    this.#error ??= error
    this.#machine.cancel(Cancel.Interrupted, reason)
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
        this.#line.pump(false)
      } catch (error) {
        return this.end(asTransferError(error))
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

  async #next(): Promise<number> {
    for (;;) {
      const ask = this.#line.pump(false)
      if (ask !== Ask.Take) return ask
      await this.poked()
    }
  }

  async #run(): Promise<void> {
    let error: unknown = null
    try {
      while (await this.#turn()) this.measure(this.#line)
    } catch (thrown) {
      error = asTransferError(thrown)
    }
    error = this.#error ?? error
    if (error !== null && this.#writer) {
      await Promise.resolve(this.#writer.writer.abort(error as Error, !this.#line.isDamaged)).catch(() => {})
    }
    // What was said last is still to arrive.
    void this.#channel.finish()
    this.#drain()
    if (error === null && this.#missing > 0) {
      const text = `the other side could not read ${this.#missing === 1 ? 'a file' : `${this.#missing} files`}; the others are here`
      error = new TransferError('transfer-failed', text)
    }
    this.end(error)
    this.#line.free()
  }

  /** Drops what still comes: a sender closes in good order only if all was read. */
  #drain(): void {
    const channel = this.#channel
    channel.onReady = () => {
      while (channel.takeNow() !== undefined) {}
    }
    channel.onReady()
  }

  async #turn(): Promise<boolean> {
    // A sender that stops is read on: it may give up meanwhile.
    if (!this.#machine.pauses()) await this.unpaused()
    const ask = await this.#next()
    const [machine, entry] = [this.#machine, this.#machine.entry()]
    try {
      switch (ask) {
        case Ask.Finished:
          return false
        case Ask.Write: {
          // The bytes are those that came: the machine says where in the message they are.
          const bytes = this.#line.message.subarray(machine.dataAt(), machine.dataAt() + machine.dataLen())
          const writer = await this.#writerOf(entry, machine.offset())
          await writer.write(bytes)
          break
        }
        case Ask.Complete: {
          const writer = await this.#writerOf(entry, this.#held.get(entry) ?? 0)
          this.#writer = null
          await writer.close()
          this.measure(this.#line, true)
          this.emit('file', this.entries[entry]!)
          break
        }
        case Ask.EntryFailed: {
          const writer = this.#writer?.entry === entry ? this.#writer.writer : null
          this.#writer = null
          this.#missing++
          await writer?.abort(new TransferError('transfer-failed', 'the other side cannot read this file'), false)
          break
        }
        case Ask.Store:
          await this.#sink?.complete?.()
          if (this.#error === null) machine.stored()
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
    this.#machine.cancel(Cancel.SinkFailed, 'a file cannot be stored')
  }
}

const HASH_AT_ONCE = 1 << 20
