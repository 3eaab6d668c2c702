/**
 * Pairings that are kept, by server.
 *
 * @internal
 * @packageDocumentation
 */

import type { Pairing, PairingStorage } from './types.js'

/** The stored pairings of one server, newest first. */
export class Pairings {
  readonly #storage: PairingStorage
  readonly #key: string

  constructor(storage: PairingStorage | null | undefined, server: string) {
    this.#storage = storage === undefined ? standard() : (storage ?? memory())
    this.#key = `peersox.pairings:${server}`
  }

  async list(): Promise<Pairing[]> {
    const text = await this.#storage.getItem(this.#key)
    if (text === null) return []
    try {
      const list: unknown = JSON.parse(text)
      return Array.isArray(list) ? list.filter(isPairing) : []
    } catch {
      // Somebody else's value under our name: as if there were none.
      return []
    }
  }

  async put(pairing: Pairing): Promise<void> {
    const others = (await this.list()).filter((it) => it.id !== pairing.id)
    await this.#save([pairing, ...others])
  }

  async remove(id: string): Promise<void> {
    await this.#save((await this.list()).filter((it) => it.id !== id))
  }

  async #save(list: Pairing[]): Promise<void> {
    if (list.length === 0) await this.#storage.removeItem(this.#key)
    else await this.#storage.setItem(this.#key, JSON.stringify(list))
  }
}

function isPairing(value: unknown): value is Pairing {
  const it = value as Partial<Pairing> | null
  return typeof it?.id === 'string' && typeof it.credential === 'string' && typeof it.secret === 'string'
}

/** `localStorage`, where there is one that works: reading the property alone may throw. */
function standard(): PairingStorage {
  try {
    const storage = globalThis.localStorage
    storage.getItem('peersox')
    return storage
  } catch {
    return memory()
  }
}

function memory(): PairingStorage {
  const values = new Map<string, string>()
  return {
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  }
}
