/** How fast a conversation is: measured once a second while somebody looks. */

import type { PeerSoxClient, Stats } from 'peersox'

/** One measurement. */
export interface Sample {
  up: number
  down: number
}

/** One minute. */
const MAX_SAMPLES = 60

/** See the module. */
export class Meter {
  readonly samples: Sample[] = []
  stats: Stats | null = null

  /** Measures what `client` gives, which is null while there is nothing to measure. */
  async measure(client: () => PeerSoxClient | null): Promise<void> {
    const measured = client()
    const stats = (await measured?.stats()) ?? null
    // It may have ended meanwhile: what was measured last is not how things are.
    const now = client() === measured ? stats : null
    if (now) this.samples.push({ up: now.sendRate, down: now.receiveRate })
    else if (this.stats) this.samples.push({ up: 0, down: 0 })
    this.stats = now
    if (this.samples.length > MAX_SAMPLES) this.samples.shift()
  }
}
