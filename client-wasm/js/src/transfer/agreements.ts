/**
 * What was agreed to: by the digest of the whole offer, never by the id of a transfer, which the sender chooses.
 *
 * @internal
 * @packageDocumentation
 */

/** The offers that were accepted over one client, and not declined or cancelled since. The last 64. */
export class Agreements {
  readonly #digests = new Set<string>()

  has(digest: string): boolean {
    return digest !== '' && this.#digests.has(digest)
  }

  remember(digest: string, yes: boolean): void {
    this.#digests.delete(digest)
    if (!yes || digest === '') return
    this.#digests.add(digest)
    if (this.#digests.size > MAX_AGREEMENTS) this.#digests.delete(this.#digests.values().next().value!)
  }
}

const agreements = new WeakMap<object, Agreements>()

/** Those of a client. */
export function agreementsOf(client: object): Agreements {
  let found = agreements.get(client)
  if (!found) agreements.set(client, (found = new Agreements()))
  return found
}

const MAX_AGREEMENTS = 64
