/**
 * Which tab of this browser has a pairing open. The server lets one connection of a device take the place of another, so
 * a tab that comes later asks before it takes a conversation away from a person who is in the midst of it.
 *
 * ```text
 *   new tab ── who has it? ──► other tabs
 *           ◄─── I have it ───          one has: say so, and wait for a person, or for `left`
 *                                       none within a moment: take it
 * ```
 */

type Word = { word: 'who' | 'have' | 'left'; id: string; tab: string }

/** How long another tab has for its answer. Milliseconds. */
const PATIENCE = 250

const OWN = Math.random().toString(36).slice(2)

/** See the module. */
export class Tabs {
  readonly #channel = typeof BroadcastChannel === 'function' ? new BroadcastChannel(`peersox:${location.pathname}`) : null
  readonly #isOpen: (id: string) => boolean
  readonly #asking = new Map<string, (has: boolean) => void>()
  /** Called when another tab has let go of a pairing. */
  onLeft: (id: string) => void = () => {}

  /** `isOpen` says whether this tab has a pairing open. */
  constructor(isOpen: (id: string) => boolean) {
    this.#isOpen = isOpen
    this.#channel?.addEventListener('message', (event: MessageEvent<Word>) => this.#hear(event.data))
  }

  /** Whether another tab has a pairing open. */
  async isElsewhere(id: string): Promise<boolean> {
    if (!this.#channel) return false
    return new Promise((resolve) => {
      const settle = (has: boolean) => {
        this.#asking.delete(id)
        resolve(has)
      }
      this.#asking.set(id, settle)
      this.#say('who', id)
      setTimeout(() => settle(false), PATIENCE)
    })
  }

  /** This tab does not have it open any more. */
  leave(id: string): void {
    this.#say('left', id)
  }

  #say(word: Word['word'], id: string): void {
    this.#channel?.postMessage({ word, id, tab: OWN } satisfies Word)
  }

  #hear({ word, id, tab }: Word): void {
    if (tab === OWN) return
    if (word === 'who' && this.#isOpen(id)) this.#say('have', id)
    if (word === 'have') this.#asking.get(id)?.(true)
    if (word === 'left') this.onLeft(id)
  }
}
