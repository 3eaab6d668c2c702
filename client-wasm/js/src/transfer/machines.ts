/**
 * The machines of a transfer in the module. The numbers in which they talk are those of `client-wasm/engine.ops`.
 *
 * @internal
 * @packageDocumentation
 */

import { Ask, Cancel, Why } from '#tables'
import type { Incoming, Outgoing } from '#transfer'
import type { Channel } from '../api/channel.js'
import { TransferError } from './shared.js'

let memory: WebAssembly.Memory

/** Says where the messages of machines are. */
export function setMemory(it: WebAssembly.Memory): void {
  memory = it
}

/**
 * Carries messages between a channel and a machine until the machine asks for something else, or there is neither a
 * message nor room: then it is {@link Ask.Take}, and worth another call when the channel has either.
 */
export class Line<M extends Outgoing | Incoming = Outgoing | Incoming> {
  /** The last message that was taken. */
  message: Uint8Array = NOTHING
  /** A file arrived with another hash than the announced one: what was written of it is worth nothing. */
  isDamaged = false
  /** The machine is gone. */
  isFreed = false
  /** Hears whether the other side has paused. */
  onPause = (_paused: boolean): void => {}
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
      if (ask === Ask.Send) {
        // No copy: the channel takes the bytes out of the module's memory at once, or not at all.
        if (!channel.trySend(new Uint8Array(memory.buffer, machine.at(), machine.len()))) return Ask.Take
        machine.sent()
      } else if (ask === Ask.Take) {
        if (!this.#take()) return ask
      } else if (this.#broken && ask === Ask.Finished) {
        throw this.#broken
      } else if (ask === Ask.Failed) {
        this.isDamaged = machine.why() === Why.Damaged
        throw new TransferError(CODES[machine.why()] ?? 'transfer-failed', machine.message())
      } else {
        return ask
      }
    }
  }

  /** Sends what the machine has to say, as far as there is room. */
  flush(): void {
    const { channel, machine } = this
    while (!channel.isOver && machine.pending()) {
      if (!channel.trySend(new Uint8Array(memory.buffer, machine.at(), machine.len()))) return
      machine.sent()
    }
  }

  /** Frees the machine. */
  free(): void {
    this.isFreed = true
    this.machine.free()
  }

  #take(): boolean {
    const message = this.#broken ? undefined : this.channel.takeNow()
    if (message === undefined) return false
    if (typeof message === 'string') {
      // The machine still has a message that tells the other side.
      this.machine.cancel(Cancel.Protocol, 'text where a transfer belongs')
      this.#broken = new TransferError('transfer-failed', 'the other side sent text where a transfer belongs')
      return true
    }
    this.message = new Uint8Array(message)
    this.machine.take(this.message)
    this.onPause(this.machine.pausedThere())
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

/** The numbers of a machine by their names; −1 stands for a number that is unknown. */
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

/** A number of the module; −1 stands for null. */
export function orNull(number: number): number | null {
  return number < 0 ? null : number
}

/** The codes of errors, where it is not the usual one. */
const CODES: Readonly<Record<number, TransferError['code']>> = {
  [Why.Declined]: 'transfer-declined',
  [Why.Cancelled]: 'transfer-cancelled',
}
const NOTHING = new Uint8Array()
