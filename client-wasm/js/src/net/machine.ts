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
import { utf8 } from './door.js'
import { failure } from './failure.js'

/** See the module. */
export class Machine extends Operations {
  /** Makes one without a path, which proves itself with a secret or, if there is none, with a code. */
  constructor(
    id: Uint8Array,
    isInitiator: boolean,
    secret: Uint8Array | undefined,
    code: string | undefined,
    name: string,
  ) {
    const no = (what: string) => failure('pairing-invalid', what)
    if (id.length !== 16) throw no('this is no pairing: its id is not 32 hex digits')
    if (!secret?.length && !code) throw no('the pairing has neither a secret nor a code')
    const [make, proof] = secret?.length ? [withSecret, secret] : [withCode, utf8(code!)]
    const number = make(isInitiator, proof.length, new Uint8Array([...id, ...proof, ...utf8(name)]))
    super(number)
    unused.register(this, number)
  }
}

const unused = new FinalizationRegistry((machine: number) => new Operations(machine).free())
