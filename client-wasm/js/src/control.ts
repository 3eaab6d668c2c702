/**
 * What a client asks the server: to make, redeem, look up and delete a pairing, and what becomes of a code.
 * Nothing here connects.
 *
 * @internal
 * @packageDocumentation
 */

import type { Server } from '#engine'
import { fromBase64, toBase64, toHex } from './bytes.js'
import type { Engine } from './engine.js'
import { PeerSoxError } from './errors.js'
import { guard, guardAsync } from './failure.js'
import type { Abortable, CodeOptions, NewPairing, Pairing } from './types.js'

/** The server as one client sees it. */
export class Control {
  readonly #url: string
  readonly #engine: Promise<Engine>
  readonly #ready: () => void
  #server: Server | undefined
  #answered = false

  /** `ready` is called once, when the server first answers. */
  constructor(url: string, engine: Promise<Engine>, ready: () => void) {
    this.#url = url
    this.#engine = engine
    this.#ready = ready
  }

  /** The module, and the server in it. */
  async open(): Promise<[Engine, Server]> {
    const engine = await this.#engine
    this.#server ??= new engine.Server(this.#url)
    return [engine, this.#server]
  }

  async create(options: CodeOptions): Promise<NewPairing> {
    const words = options.words ?? 2
    if (!Number.isInteger(words) || words < 0 || words > 16) throw new TypeError('a code has 0 to 16 words')
    const [engine, server] = await this.open()
    const made = await this.#ask(() => server.call(CALL_CREATE, NOTHING, options.signal))
    return {
      server: this.#url,
      id: toHex(made.id),
      role: 'initiator',
      credential: toBase64(made.credential),
      code: guard(() => engine.makeCode(made.nameplate, words)),
      codeExpiresAt: made.codeExpiresAt,
      restorableUntil: made.restorableUntil,
    }
  }

  async join(code: string, options: Abortable): Promise<Pairing> {
    const [engine, server] = await this.open()
    const parsed = guard(() => engine.parseCode(String(code)))
    // The words stay here: only the digits are sent.
    const joined = await this.#ask(() =>
      server.call(CALL_JOIN, new TextEncoder().encode(parsed.nameplate), options.signal),
    )
    return {
      server: this.#url,
      id: toHex(joined.id),
      role: 'joiner',
      credential: toBase64(joined.credential),
      code: parsed.code,
      restorableUntil: joined.restorableUntil,
    }
  }

  /** Whether the server still knows a pairing. */
  async knows(pairing: Pairing, options: Abortable): Promise<boolean> {
    const [, server] = await this.open()
    try {
      await this.#ask(() => server.call(CALL_STATE, fromBase64(pairing.credential), options.signal))
      return true
    } catch (error) {
      if (error instanceof PeerSoxError && error.code === 'pairing-invalid') return false
      throw error
    }
  }

  async revoke(pairing: Pairing, options: Abortable): Promise<void> {
    const [, server] = await this.open()
    try {
      await this.#ask(() => server.call(CALL_DELETE, fromBase64(pairing.credential), options.signal))
    } catch (error) {
      // Gone already is gone.
      if (!(error instanceof PeerSoxError && error.code === 'pairing-invalid')) throw error
    }
  }

  /** Tells when the code is used, or is not in time; goes on until `signal` aborts. */
  async watchCode(pairing: Pairing, signal: AbortSignal, tell: (outcome: 'joined' | 'expired') => void): Promise<void> {
    const [, server] = await this.open()
    while (!signal.aborted) {
      try {
        await guardAsync(() =>
          server.watch(
            fromBase64(pairing.credential),
            (event) => {
              if (event === EVENT_JOINED) tell('joined')
              else if (event === EVENT_EXPIRED) tell('expired')
            },
            signal,
          ),
        )
      } catch {
        // The stream is a convenience: the leg tells what matters, too.
      }
      if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, WATCH_PAUSE))
    }
  }

  /** The server answered, here or by a leg. */
  noteAnswer(): void {
    if (this.#answered) return
    this.#answered = true
    this.#ready()
  }

  async #ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      const answer = await guardAsync(call)
      this.noteAnswer()
      return answer
    } catch (error) {
      if (error instanceof PeerSoxError && error.code !== 'unreachable') this.noteAnswer()
      throw error
    }
  }
}

const CALL_CREATE = 0
const CALL_JOIN = 1
const CALL_STATE = 2
const CALL_DELETE = 3
const NOTHING = new Uint8Array()
const EVENT_JOINED = 2
const EVENT_EXPIRED = 6
/** Milliseconds. */
const WATCH_PAUSE = 5_000
