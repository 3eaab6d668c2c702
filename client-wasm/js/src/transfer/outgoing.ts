/**
 * Files to the other peer.
 *
 * @packageDocumentation
 */

import { Ask, Cancel } from '#tables'
import { Outgoing } from '#transfer'
import type { Channel } from '../api/channel.js'
import { Line } from './machines.js'
import { ChannelResetError, TransferError } from './shared.js'
import type { Source } from './sources.js'
import { asTransferError, Transfer } from './transfer.js'

/** Files on their way to the other peer. If that is restarted, they are offered anew and go on where it stopped. */
export class OutgoingTransfer extends Transfer {
  readonly #sources: Source[]
  readonly #open: () => Promise<Channel>
  #machine: Outgoing | null = null
  #error: unknown = null

  /** @internal */
  constructor(sources: Source[], open: () => Promise<Channel>) {
    super()
    this.#sources = sources
    this.#open = open
  }

  /** Makes the offer; resolves when it is under way. @internal */
  async start(): Promise<void> {
    const line = await this.#begin()
    this.describe(line)
    void this.#runs(line)
  }

  /** @internal */
  protected giveUp(error: unknown, reason: string): void {
    this.#error ??= error
    this.#machine?.cancel(Cancel.Interrupted, reason)
    this.resume()
    this.poke()
    if (!this.#machine) this.end(error)
  }

  async #begin(): Promise<Line<Outgoing>> {
    const machine = offer(this.#sources)
    try {
      return new Line(await this.#open(), machine)
    } catch (error) {
      machine.free()
      throw error
    }
  }

  async #runs(first: Line<Outgoing>): Promise<void> {
    let line = first
    for (;;) {
      const { channel, machine } = line
      this.#machine = machine
      try {
        await this.#run(line)
        void channel.finish()
        return this.end(this.#error)
      } catch (error) {
        if (!wasRestarted(error) || this.#error !== null) {
          void channel.finish()
          return this.end(this.#error ?? asTransferError(error))
        }
      } finally {
        this.#machine = null
        line.free()
      }
      this.enter('interrupted')
      try {
        line = await this.#begin()
      } catch (error) {
        return this.end(asTransferError(error))
      }
      if (this.isOver) {
        // It was given up meanwhile; nothing was offered yet.
        line.channel.reset()
        return line.free()
      }
    }
  }

  async #run(line: Line<Outgoing>): Promise<void> {
    const { machine } = line
    this.listenTo(line)
    for (;;) {
      const ask = line.pump(true)
      if (ask === Ask.Finished) return
      if (ask === Ask.Read) {
        this.enter('active')
        await this.unpaused()
        if (this.#error !== null) continue
        const source = this.#sources[machine.entry()]!
        try {
          const bytes = await source.read(machine.offset(), machine.max())
          if (this.#error === null) machine.feed(bytes)
        } catch (error) {
          this.#error ??= new TransferError('transfer-failed', `${source.path.join('/')} cannot be read`, { cause: error })
          machine.cancel(Cancel.SourceFailed, 'a file cannot be read')
        }
        this.measure(line)
      } else {
        await this.poked()
      }
    }
  }
}

/** The machine that offers files. */
function offer(sources: readonly Source[]): Outgoing {
  // A name with NUL in it is refused, as one with a separator is, which cannot end a name early.
  const names = sources.flatMap((it) => it.path).map((it) => `${it.replaceAll('\0', '/')}\0`)
  const numbers = sources.flatMap(({ path, blob, modified }) => [
    path.length,
    blob ? 0 : 1,
    blob ? blob.size : -1,
    modified === undefined ? -1 : Math.max(0, modified),
  ])
  try {
    return new Outgoing(names.join(''), Float64Array.from(numbers))
  } catch (why) {
    throw new TransferError('transfer-failed', String(why))
  }
}

function wasRestarted(error: unknown): boolean {
  return error instanceof ChannelResetError && error.resetCode === null
}
