/**
 * Which tab of this browser has a pairing open. The server lets one connection of a device take the place of another, so
 * a tab that comes later asks before it takes a conversation away from a person who is in the midst of it.
 *
 * ```text
 *   new tab ── who has it? ──► other tabs
 *           ◄─── I have it ───          one has: say so, and wait for a person, or for `left`
 *           ◄── I have it not ─         none has: take it
 * ```
 *
 * Each tab holds a lock that all of them share, so that a new one knows how many answers there will be. Without locks, in
 * a page that is not secure, only time tells.
 */

type Word = { word: 'who' | 'have' | 'free' | 'left'; id: string; tab: string }

/** How long other tabs have for their answers: a tab may be busy, or asleep. Milliseconds. */
const PATIENCE = 5_000
/** The same where nobody knows whether there is another tab. */
const BLIND_PATIENCE = 250

const LOCK = `peersox:${location.pathname}`

const OWN = Math.random().toString(36).slice(2)

/** See the module. */
export class Tabs {
  readonly #channel = typeof BroadcastChannel === 'function' ? new BroadcastChannel(LOCK) : null
  readonly #isOpen: (id: string) => boolean
  readonly #asking = new Map<string, (has: boolean) => void>()
  /** This tab holds the lock; false where there are none. */
  readonly #locked: Promise<boolean>
  /** Called when another tab has let go of a pairing. */
  onLeft: (id: string) => void = () => {}

  /** `isOpen` says whether this tab has a pairing open. */
  constructor(isOpen: (id: string) => boolean) {
    this.#isOpen = isOpen
    this.#channel?.addEventListener('message', (event: MessageEvent<Word>) => this.#hear(event.data))
    this.#locked = new Promise((resolve) => {
      const held = navigator.locks?.request(LOCK, { mode: 'shared' }, () => {
        resolve(true)
        // For as long as the tab lives.
        return new Promise(() => {})
      })
      if (!held) resolve(false)
      held?.catch(() => resolve(false))
    })
  }

  /** Whether another tab has a pairing open. */
  async isElsewhere(id: string): Promise<boolean> {
    if (!this.#channel) return false
    let others = await this.#others()
    if (others === 0) return false
    return new Promise((resolve) => {
      const settle = (has: boolean) => {
        this.#asking.delete(id)
        resolve(has)
      }
      this.#asking.set(id, (has) => {
        others--
        if (has || others === 0) settle(has)
      })
      this.#say('who', id)
      setTimeout(() => settle(false), others > 0 ? PATIENCE : BLIND_PATIENCE)
    })
  }

  /** How many other tabs there are; −1 if nothing tells. */
  async #others(): Promise<number> {
    if (!(await this.#locked)) return -1
    const { held } = await navigator.locks.query()
    return (held ?? []).filter((it) => it.name === LOCK).length - 1
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
    if (word === 'who') this.#say(this.#isOpen(id) ? 'have' : 'free', id)
    if (word === 'have' || word === 'free') this.#asking.get(id)?.(word === 'have')
    if (word === 'left') this.onLeft(id)
  }
}
