// What wasm-bindgen makes of `client-wasm/transfer`, as far as the facade uses it. scripts/web puts the real
// thing in its place.
declare module '#transfer' {
  export function __wbg_set_wasm(exports: unknown): void

  /** What both directions have. */
  interface Machine {
    step(): number
    take(message: Uint8Array): void
    at(): number
    len(): number
    sent(): void
    entry(): number
    offset(): number
    id(): Uint8Array
    paths(): string
    numbers(): Float64Array
    cancel(code: number, text: string): void
    pause(paused: boolean): void
    pending(): boolean
    pausedThere(): boolean
    progress(): Float64Array
    why(): number
    message(): string
    free(): void
  }

  export interface Outgoing extends Machine {}
  export class Outgoing {
    constructor(names: string, numbers: Float64Array)
    max(): number
    feed(bytes: Uint8Array): void
  }

  export interface Incoming extends Machine {}
  export class Incoming {
    constructor()
    digest(): Uint8Array
    pauses(): boolean
    device(): string
    dataAt(): number
    dataLen(): number
    hold(entry: number, bytes: Uint8Array): void
    skip(entry: number): void
    accept(): void
    decline(text: string): void
    stored(): void
  }
}

// The file that transfers are in; build.mjs makes it of `transfers.ts`.
declare module '#transfers' {
  const make: import('./ondemand.js').Chunk['default']
  export default make
  export const deflated: string
}
