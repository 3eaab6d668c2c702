/**
 * What is loaded when the first file is sent or offered; see {@link loadTransfers} in `ondemand.ts`.
 *
 * @internal
 * @packageDocumentation
 */

import * as machines from '#transfer'
import type { Channel } from '../api/channel.js'
import { agreementsOf } from './agreements.js'
import { directorySink } from './directory.js'
import { IncomingTransfer } from './incoming.js'
import { setMemory } from './machines.js'
import { OutgoingTransfer } from './outgoing.js'
import { instantiate, throwIfAborted } from './shared.js'
import { type Sendable, sources } from './sources.js'
import type { WasmSource } from '../api/types.js'

/** Instantiates the module. */
export async function start(module: WasmSource): Promise<void> {
  const { memory } = await instantiate(module, `./transfer-${BUILD}_bg.js`, machines)
  setMemory(memory as WebAssembly.Memory)
}

/** Offers files over channels that `open` makes, another one after each restart of the other side. */
export async function send(
  files: Iterable<Sendable>,
  open: () => Promise<Channel>,
  signal?: AbortSignal,
): Promise<OutgoingTransfer> {
  const list = await sources(files, signal)
  if (list.length === 0) throw new TypeError('there is nothing to send')
  const transfer = new OutgoingTransfer(list, open)
  throwIfAborted(signal)
  await transfer.start()
  signal?.addEventListener('abort', () => transfer.abort(signal.reason), { once: true })
  return transfer
}

/** What is offered over a channel of a client; `null` if nothing is. */
export async function receive(channel: Channel, client: object): Promise<IncomingTransfer | null> {
  const transfer = new IncomingTransfer(channel, agreementsOf(client))
  return (await transfer.offered()) ? transfer : null
}

export { directorySink }

/** All of it. */
export type Transfers = typeof import('./transfers.js')
