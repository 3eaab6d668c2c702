/**
 * What a client has under way, so that closing it gives all of that up: at most one call that makes a pairing, and any
 * number of others.
 *
 * @internal
 * @packageDocumentation
 */

import { onAbort } from '../net/failure.js'
import { BusyError, ClosedError } from './errors.js'

/** See the module. */
export class Turn {
  #life = new AbortController()
  /** The call that makes a pairing, if there is one. Only a turn sets it. */
  making: Promise<unknown> | null = null

  /**
   * Runs a call until it is done, the caller's signal aborts, or the client is closed. Whoever closes the client need not
   * hear of it: the promise does not count as unhandled then.
   */
  run<T>(signal: AbortSignal | undefined, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const life = this.#life.signal
    const given = new AbortController()
    const hush = () => void done.catch(() => {})
    const causes = [life, signal].map((cause) => onAbort(cause, (reason) => given.abort(reason)))
    const run = async () => {
      try {
        return await act(given.signal)
      } finally {
        for (const forget of causes) forget()
        life.removeEventListener('abort', hush)
      }
    }
    const done = run()
    life.addEventListener('abort', hush)
    return done
  }

  /** The same for a call that makes a pairing, of which there is one at a time. */
  make<T>(signal: AbortSignal | undefined, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.making) return Promise.reject(busy())
    const making: Promise<T> = this.run(signal, async (signal) => {
      try {
        return await act(signal)
      } finally {
        if (this.making === making) this.making = null
      }
    })
    this.making = making
    return making
  }

  /** Gives up everything; what is begun afterwards is not concerned. */
  end(): void {
    this.making = null
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
