/**
 * What a client asks the server: to make, redeem, look up and delete a pairing, and what becomes of a code.
 * Nothing here connects.
 *
 * @internal
 * @packageDocumentation
 */

import * as wire from '#wire'
import { fromBase64, toBase64, toHex } from './bytes.js'
import { watchPolicy } from './causes.js'
import type { Engine } from './engine.js'
import { PairingInvalidError, PeerSoxError } from '../api/errors.js'
import { abortable, failure, throwIfAborted } from './failure.js'
import { unary } from './grpc.js'
import { Joins } from './joins.js'
import { decode, encode, type Table } from './protobuf.js'
import type { Abortable, ClientOptions, CodeOptions, NewPairing, Pairing } from '../api/types.js'

/** The server as one client sees it. */
export class Control {
  readonly #url: string
  readonly #engine: Promise<Engine>
  readonly #ready: () => void
  readonly #token: ClientOptions['token']
  #answered = false

  /** `ready` is called once, when the server first answers. */
  constructor(url: string, engine: Promise<Engine>, ready: () => void, token?: ClientOptions['token']) {
    this.#url = url
    this.#engine = engine
    this.#ready = ready
    this.#token = token
    watchPolicy()
  }

  /** Makes a pairing. One that is given up meanwhile is withdrawn. */
  async create(options: CodeOptions): Promise<NewPairing> {
    const words = options.words ?? 2
    if (!Number.isInteger(words) || words < 0 || words > 16) throw new TypeError('a code has 0 to 16 words')
    throwIfAborted(options.signal)
    const made = this.#create(words)
    return abortable(made, options.signal, () => {
      made.then((pairing) => this.revoke(pairing, {})).catch(() => {})
    })
  }

  async #create(words: number): Promise<NewPairing> {
    const request = encode(wire.CreatePairingRequest, { secret_bits: words * WORD_BITS, ephemeral: true })
    const shown = typeof this.#token === 'function' ? await this.#token() : this.#token
    const asked = this.#ask('CreatePairing', request, wire.CreatePairingResponse, {}, shown)
    const [made, engine] = await Promise.all([asked, this.#engine])
    return {
      server: this.#url,
      id: toHex(made.pairing_id),
      role: 'initiator',
      credential: toBase64(made.credential),
      code: engine.makeCode(made.nameplate, words),
      codeExpiresAt: made.code_expires_at_millis,
      restorableUntil: made.restorable_until_millis,
    }
  }

  /** Redeems a code. What a call that was given up redeems meanwhile is there for the next call with the same code. */
  async join(typed: string, { signal }: Abortable): Promise<Pairing> {
    const engine = await abortable(this.#engine, signal)
    throwIfAborted(signal)
    const code = engine.parseCode(String(typed))
    // Other words may be right: those of before were not tried.
    const earlier = JOINS.take(this.#url, nameplateOf(code))?.then((pairing) => ({ ...pairing, code }))
    const joined = earlier ?? this.#join(code)
    return abortable(joined, signal, () => this.leave(code, joined))
  }

  /** Puts back a pairing that was joined by a code and is not used; it is withdrawn if nobody takes it. */
  leave(code: string, joined: Promise<Pairing>): void {
    JOINS.leave(this.#url, nameplateOf(code), joined, (pairing) => this.revoke(pairing, {}))
  }

  async #join(code: string): Promise<Pairing> {
    // The words stay here: only the digits are sent.
    const request = encode(wire.JoinPairingRequest, { nameplate: nameplateOf(code), ephemeral: true })
    const joined = await this.#ask('JoinPairing', request, wire.JoinPairingResponse, {})
    return {
      server: this.#url,
      id: toHex(joined.pairing_id),
      role: 'joiner',
      credential: toBase64(joined.credential),
      code,
      restorableUntil: joined.restorable_until_millis,
    }
  }

  /** Whether the server still knows a pairing. */
  async knows(pairing: Pairing, options: Abortable): Promise<boolean> {
    try {
      await this.#ask('GetPairing', credential(pairing), wire.GetPairingResponse, options)
      return true
    } catch (error) {
      if (error instanceof PairingInvalidError) return false
      throw error
    }
  }

  /**
   * Has the server keep a pairing, for both peers: it forgets the others some minutes after their last use. Answers
   * until when it can be restored, in milliseconds since the Unix epoch.
   */
  async keep(pairing: Pairing, options: Abortable): Promise<number> {
    const request = encode(wire.GetPairingRequest, { credential: fromBase64(pairing.credential), keep: true })
    const kept = await this.#ask('GetPairing', request, wire.GetPairingResponse, options)
    return kept.restorable_until_millis
  }

  async revoke(pairing: Pairing, options: Abortable): Promise<void> {
    try {
      await this.#ask('DeletePairing', credential(pairing), wire.DeletePairingResponse, options)
    } catch (error) {
      // Gone already is gone.
      if (!(error instanceof PairingInvalidError)) throw error
    }
  }

  /** The right to attach to a relay, and where; names the epoch at which the relay could not be reached, or 0. */
  openSession(pairing: Pairing, unreached: number, signal: AbortSignal): Promise<wire.OpenSessionResponse> {
    const request = encode(wire.OpenSessionRequest, {
      credential: fromBase64(pairing.credential),
      unreached_epoch: unreached,
    })
    return this.#ask('OpenSession', request, wire.OpenSessionResponse, { signal })
  }

  /**
   * Tells when the code is used, or is not in time; ends then, or when `signal` aborts. Whoever uses it is seen over the
   * leg, at once. So the server is asked only when the code should be over: a stream would hold one of the six
   * connections that a browser has for a server of HTTP/1.1.
   */
  async watchCode(pairing: Pairing, signal: AbortSignal, tell: (outcome: 'joined' | 'expired') => void): Promise<void> {
    let until = pairing.codeExpiresAt ?? 0
    for (;;) {
      const pause = Math.max(until - Date.now() + SLACK, LEAST_PAUSE)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(pause, LONGEST_PAUSE))
        signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
      })
      if (signal.aborted) return
      try {
        const known = await this.#ask('GetPairing', credential(pairing), wire.GetPairingResponse, { signal })
        if (signal.aborted) return
        if (known.joined) return tell('joined')
        until = known.restorable_until_millis
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof PairingInvalidError) return tell('expired')
      }
    }
  }

  /** The server answered, here or by a leg. */
  noteAnswer(): void {
    if (this.#answered) return
    this.#answered = true
    this.#ready()
  }

  async #ask<T>(method: string, request: Uint8Array, table: Table<T>, options: Abortable, token?: string): Promise<T> {
    try {
      const answer = decode(table, await unary(this.#url, method, request, options.signal, token))
      this.noteAnswer()
      if (!answer) throw failure('protocol', 'the answer cannot be decoded')
      return answer
    } catch (error) {
      if (error instanceof PeerSoxError && error.code !== 'unreachable') this.noteAnswer()
      throw error
    }
  }
}

/** The digits of a code. */
export function nameplateOf(code: string): string {
  return code.split('-', 1)[0]!
}

/** Every request that names a pairing has its credential as field 1. */
function credential(pairing: Pairing): Uint8Array {
  return encode(wire.GetPairingRequest, { credential: fromBase64(pairing.credential) })
}

/** What one secret word adds, in bits. */
const WORD_BITS = 10
const JOINS = new Joins()
/** Milliseconds by which the clocks of the server and of this device may differ. */
const SLACK = 2_000
/** Milliseconds, if they differ by more. */
const LEAST_PAUSE = 30_000
/** Milliseconds: what a timer of a browser takes. */
const LONGEST_PAUSE = 2 ** 31 - 1
