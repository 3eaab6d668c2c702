/** The WebAssembly modules, which `build.mjs` puts beside the page. */

declare const WASM_URL: string
declare const TRANSFER_WASM_URL: string
let compiled: Promise<WebAssembly.Module> | undefined

/** The module that every session needs, loaded once for all. */
export function theModule(): Promise<WebAssembly.Module> {
  compiled ??= WebAssembly.compileStreaming(fetch(WASM_URL)).catch((error: unknown) => {
    compiled = undefined
    throw error
  })
  return compiled
}

/** The one that files need, asked for when the first is sent or offered. */
export function theTransferModule(): Promise<Response> {
  return fetch(TRANSFER_WASM_URL)
}
