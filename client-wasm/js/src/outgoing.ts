/**
 * Files to the other peer.
 *
 * @packageDocumentation
 */

import type { Outgoing } from '#engine'
import type { Channel } from './channel.js'
import { ChannelResetError, TransferError } from './errors.js'
import { toError } from './failure.js'
import type { Source } from './sources.js'
import { ASK_FINISHED, ASK_READ, INTERRUPTED, SOURCE_FAILED } from './steps.js'
import { asTransferError, Transfer } from './transfer.js'

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

function wasRestarted(error: unknown): boolean {
  return error instanceof ChannelResetError && error.resetCode === null
}
