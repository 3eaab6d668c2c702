/**
 * What a client has under way, so that closing it gives all of that up: at most one call that makes a pairing, and any
 * number of others.
 *
 * @internal
 * @packageDocumentation
 */

import { BusyError, ClosedError } from './errors.js'

/** See the module. */
export class Turn {
  #life = new AbortController()
  /** The call that makes a pairing, if there is one. */
  #maker: symbol | null = null

  /** Whether a pairing is being made. */
  get isMaking(): boolean {
    return this.#maker !== null
  }

  /** Runs a call until it is done, the caller's signal aborts, or the client is closed. */
  async run<T>(signal: AbortSignal | undefined, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const given = new AbortController()
    const causes = [this.#life.signal, ...(signal ? [signal] : [])].map((cause) => {
      const abort = () => given.abort(cause.reason)
      if (cause.aborted) abort()
      cause.addEventListener('abort', abort)
      return () => cause.removeEventListener('abort', abort)
    })
    try {
      return await act(given.signal)
    } finally {
      for (const forget of causes) forget()
    }
  }

  /** The same for a call that makes a pairing, of which there is one at a time. */
  async make<T>(signal: AbortSignal | undefined, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#maker) throw busy()
    const maker = Symbol()
    this.#maker = maker
    try {
      return await this.run(signal, act)
    } finally {
      if (this.#maker === maker) this.#maker = null
    }
  }

  /** Gives up everything; what is begun afterwards is not concerned. */
  end(): void {
    this.#maker = null
    this.#life.abort(closed())
    this.#life = new AbortController()
  }
}

/** A client is in one pairing at a time. */
export function busy(): BusyError {
  return new BusyError('busy', 'this client is in a pairing already: close it first, or make another client')
}

function closed(): ClosedError {
  return new ClosedError('closed', 'this side closed the client')
}
