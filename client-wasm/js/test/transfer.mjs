// Stands for the glue of the transfers' module, `#transfer`: a machine that takes the steps a test scripts.

export const memory = new WebAssembly.Memory({ initial: 1 })
/** What the next steps are: `{ ask, … }`, where the rest is what the machine shows after that step. */
export const script = { steps: [], calls: [] }

export function __wbg_set_wasm() {}

class Scripted {
  #now = {}

  step() {
    this.#now = script.steps[0] ?? { ask: 0 }
    if (script.steps.length > 1 || this.#now.ask !== 0) script.steps.shift()
    return this.#now.ask
  }

  id = () => new Uint8Array(16)
  paths = () => 'a.txt'
  numbers = () => Float64Array.of(3, 0, 3, -1, 0)
  digest = () => new Uint8Array(32).fill(script.digest ?? 7)
  device = () => 'laptop'
  pauses = () => true
  pausedThere = () => script.pausedThere ?? false
  pause = (paused) => script.calls.push(`pause ${paused}`)
  pending = () => false
  progress = () => Float64Array.of(0, 0, 1, 0, 3, 0)
  entry = () => 0
  offset = () => 0
  dataAt = () => 0
  dataLen = () => 0
  at = () => 0
  len = () => 0
  why = () => this.#now.why ?? 0
  message = () => this.#now.message ?? ''
  take = () => {}
  sent = () => {}
  accept = () => script.calls.push('accept')
  decline = () => script.calls.push('decline')
  stored = () => script.calls.push('stored')
  cancel = (code, text) => script.calls.push(`cancel ${code} ${text}`)
  free = () => script.calls.push('free')
}

export class Incoming extends Scripted {}
export class Outgoing extends Scripted {}
