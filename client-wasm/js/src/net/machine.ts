/**
 * A machine of the module: one endpoint of a pairing.
 *
 * Its operations are those of `client-wasm/engine.ops`, as methods. What a method throws is an error of `errors.ts`,
 * unless the module itself fails.
 *
 * @internal
 * @packageDocumentation
 */

import { Operations, withCode, withSecret } from '#ops'
import { failure } from './failure.js'

/** Who a machine is. */
export interface Identity {
  id: Uint8Array
  initiator: boolean
  secret?: Uint8Array | undefined
  code?: string | undefined
  /** Told to the other peer. */
  name: string
  /** Told to the relay. */
  agent: string
  /** A Mode of `engine.ops`. */
  mode: number
  /** For how many milliseconds another leg is sought; −1 never gives up. */
  patience: number
  /** Rules other than the usual ones, as `engine.ops` says: a replay of the vectors needs them. */
  rules?: Uint8Array
}

/** See the module. */
export class Machine extends Operations {
  /** Makes one that begins to attach, and proves itself with a secret or, if there is none, with a code. */
  constructor({ id, initiator, secret, code, name, agent, mode, patience, rules = NO_RULES }: Identity) {
    const no = (what: string) => failure('pairing-invalid', what)
    if (id.length !== 16) throw no('this is no pairing: its id is not 32 hex digits')
    if (!secret?.length && !code) throw no('the pairing has neither a secret nor a code')
    const number = secret?.length
      ? withSecret(initiator, mode, patience, id, secret, name, agent, rules)
      : withCode(initiator, mode, patience, id, code!, name, agent, rules)
    super(number)
    unused ??= new FinalizationRegistry((machine) => new Operations(machine).free())
    unused.register(this, number)
  }
}

const NO_RULES = new Uint8Array()
let unused: FinalizationRegistry<number> | undefined
