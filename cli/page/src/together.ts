/**
 * Keeping a pairing together with the command line, as `peersox pair` does: both sides, or neither.
 *
 * ```text
 * initiator                                joiner            channel `peersox.pair`
 *    |  keeps it, then --- "saved" --------->|
 *    |<-------------------- "saved" --- keeps it, too
 * ```
 */

import type { Channel } from 'peersox'

/** The channel's name. */
export const PAIR = 'peersox.pair'

/** Says that this side has kept it. Whether the other one has, too; if not, the pairing is of no use. */
export async function keptByBoth(channel: Channel): Promise<boolean> {
  try {
    await channel.send(SAVED)
    void channel.finish()
    return (await channel.receive({ signal: AbortSignal.timeout(PATIENCE) })) === SAVED
  } catch {
    return false
  }
}

const SAVED = 'saved'

/** Milliseconds that a command line may take to save the pairing and to say so. */
const PATIENCE = 20_000
