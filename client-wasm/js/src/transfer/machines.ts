/**
 * The machines of a transfer in the module, and the numbers in which they talk; `client-wasm/transfer` has the same
 * tables.
 *
 * @internal
 * @packageDocumentation
 */

import type { Incoming, Outgoing } from '#transfer'
import type { Channel } from '../api/channel.js'
import { TransferError } from './shared.js'

/** What a step asks for: the channel, … */
export const ASK_TAKE = 0
const ASK_FAILED = 2
const ASK_SEND = 3
/** … or the transfer. */
export const ASK_FINISHED = 1
export const ASK_READ = 4
export const ASK_OFFERED = 5
export const ASK_WRITE = 6
export const ASK_COMPLETE = 7
export const ASK_STORE = 8

/** Why this side gives up, as TransferCancel says it. */
export const INTERRUPTED = 1
export const SOURCE_FAILED = 2
export const SINK_FAILED = 3
const PROTOCOL = 5

let memory: WebAssembly.Memory

/** Says where the messages of machines are. */
export function setMemory(it: WebAssembly.Memory): void {
  memory = it
}

/**
 * Carries messages between a channel and a machine until the machine asks for something else, or there is neither a
 * message nor room: then it is {@link ASK_TAKE}, and worth another call when the channel has either.
 */
export class Line<M extends Outgoing | Incoming = Outgoing | Incoming> {
  /** The last message that was taken. */
  message: Uint8Array = NOTHING
  #broken: TransferError | null = null

  constructor(
    readonly channel: Channel,
    readonly machine: M,
  ) {}

  /** With `eager` messages are taken first: a receiver that gives up does not read any more. */
  pump(eager: boolean): number {
    const { channel, machine } = this
    for (;;) {
      if (channel.isOver) throw channel.overBy
      if (eager) while (this.#take()) {}
      const ask = machine.step()
      if (ask === ASK_SEND) {
        // No copy: the channel takes the bytes out of the module's memory at once, or not at all.
        if (!channel.trySend(new Uint8Array(memory.buffer, machine.at(), machine.len()))) return ASK_TAKE
        machine.sent()
      } else if (ask === ASK_TAKE) {
        if (!this.#take()) return ask
      } else if (this.#broken && ask === ASK_FINISHED) {
        throw this.#broken
      } else if (ask === ASK_FAILED) {
        throw new TransferError(WHY[machine.why()]!, machine.message())
      } else {
        return ask
      }
    }
  }

  #take(): boolean {
    const message = this.#broken ? undefined : this.channel.takeNow()
    if (message === undefined) return false
    if (typeof message === 'string') {
      // The machine still has a message that tells the other side.
      this.machine.cancel(PROTOCOL, 'text where a transfer belongs')
      this.#broken = new TransferError('transfer-failed', 'the other side sent text where a transfer belongs')
      return true
    }
    this.message = new Uint8Array(message)
    this.machine.take(this.message)
    return true
  }
}

/** How far a machine has come. */
export interface Progress {
  entry: number | null
  filesDone: number
  filesTotal: number
  bytesDone: number
  bytesTotal: number | null
  bytesResumed: number
}

/** In the words of people, of numbers of which −1 is none. */
export function progressOf(machine: Outgoing | Incoming): Progress {
  const [entry, filesDone, filesTotal, bytesDone, bytesTotal, bytesResumed] = machine.progress() as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  return { entry: orNull(entry), filesDone, filesTotal, bytesDone, bytesTotal: orNull(bytesTotal), bytesResumed }
}

/** A number of the module, or none. */
export function orNull(number: number): number | null {
  return number < 0 ? null : number
}

const WHY = ['transfer-failed', 'transfer-declined', 'transfer-cancelled'] as const
const NOTHING = new Uint8Array()
