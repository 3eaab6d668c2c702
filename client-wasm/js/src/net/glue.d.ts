// What wasm-bindgen makes of `client-wasm/src`. scripts/web puts the real thing in its place; `door.ts` calls it.
// What `#ops` and `#wire` are build/declare.mjs writes, to target/web/generated.
declare module '#engine' {
  export function __wbg_set_wasm(exports: unknown): void

  export function room(length: number): number
  export function call(machine: number, op: number, now: number, a: number, b: number, c: number): number
}

// The file that legs over WebTransport are in; build.mjs makes it of `webtransport.ts`.
declare module '#webtransport' {
  export const WebTransportLeg: typeof import('./webtransport.js').WebTransportLeg
}

/** The version of the package. */
declare const VERSION: string

/** What tells files of one build from those of another: the numbers in which they talk may differ. */
declare const BUILD: string

// The module itself, deflated and in base64.
declare module '#wasm' {
  const deflated: string
  export default deflated
}
