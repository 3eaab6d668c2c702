/** How a conversation ended, for people. */

import type { CloseReason, PeerSoxClient } from 'peersox'
import type { TransferItem } from './items.js'

/** A sentence; undefined if what the client says is all there is to say. `isAsked`: a terminal waited to be saved. */
export function endingOf(reason: CloseReason, isAllDone: boolean, isProgram: boolean, isAsked: boolean): string | undefined {
  switch (reason) {
    case 'closed':
      return 'You hung up.'
    case 'revoked':
      return 'The pairing was deleted by the other device.'
    case 'peer-closed':
      if (isAsked) return 'The terminal does not wait any more. To save it, run `peersox pair --save NAME` there again.'
      if (!isAllDone) return 'The other side has hung up.'
      return `Done: everything has arrived, and ${isProgram ? 'the program there has ended' : 'the other side has hung up'}.`
    default:
      return undefined
  }
}

/** The same of a conversation with a saved device, which may go on later. */
export function pauseOf(isAllDone: boolean, isProgram: boolean): string {
  return `${isAllDone ? 'Done. ' : ''}${isProgram ? 'The program there has ended.' : 'The other device has hung up.'}`
}

/** Closes a client. The other side is told first why its files end; that takes a moment, for which nobody has to wait. */
export async function farewell(client: PeerSoxClient, stopped: readonly TransferItem[]): Promise<void> {
  const told = Promise.allSettled(stopped.map((it) => it.transfer.done))
  await Promise.race([told, new Promise((resolve) => setTimeout(resolve, PATIENCE))])
  await client.close()
}

/** How long a transfer may take to say that it ends. Milliseconds. */
const PATIENCE = 1_000
