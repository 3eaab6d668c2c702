/**
 * What a conversation shows, within bounds: the other side decides how much it sends, this side how much it keeps.
 * The oldest goes first, but for transfers that are under way or not saved.
 */

import type { Item } from './items.js'

/** How many items are kept. */
const MAX_ITEMS = 2_000

/** How many bytes of memory they may take together. One that is larger by itself is kept while it is the newest. */
const MAX_BYTES = 64 << 20

/** The most that one offer counts. */
const MAX_OFFER = 16 << 20

/** See the module. */
export class History {
  readonly items: Item[] = []
  #bytes = 0
  #weights = new WeakMap<Item, number>()

  /** Adds an item; gives those that had to go for it. */
  add(item: Item, isNeeded: (item: Item) => boolean): Item[] {
    this.items.push(item)
    this.weigh(item)
    const gone: Item[] = []
    for (let at = 0; at < this.items.length - 1 && this.#isFull; ) {
      const it = this.items[at]!
      if (isNeeded(it)) {
        at++
        continue
      }
      this.items.splice(at, 1)
      this.#bytes -= this.#weights.get(it) ?? 0
      gone.push(it)
    }
    return gone
  }

  /** An item is as large as it is now. */
  weigh(item: Item): void {
    const weight = weightOf(item)
    this.#bytes += weight - (this.#weights.get(item) ?? 0)
    this.#weights.set(item, weight)
  }

  get #isFull(): boolean {
    return this.items.length > MAX_ITEMS || this.#bytes > MAX_BYTES
  }
}

function weightOf(item: Item): number {
  const base = 500
  switch (item.kind) {
    case 'text':
    case 'note':
      return base + 2 * item.text.length
    case 'asked':
      return base
    case 'bytes':
      return base + item.blob.size
    case 'kept':
      return base + 200 * item.set.files.length
    case 'transfer':
      // A large offer does not drive out everything that was said.
      return base + Math.min(MAX_OFFER, item.transfer.entries.reduce((sum, it) => sum + 200 + 4 * it.path.join('/').length, 0))
  }
}
