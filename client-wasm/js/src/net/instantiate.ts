import type { WasmSource } from '../api/types.js'

/** What wasm-bindgen makes of a module, as far as starting it goes: all of it is what the module imports. */
export interface Glue {
  __wbg_set_wasm(exports: unknown): void
}

/** Fetches a module if need be, starts it, and gives it to its glue, which is named as the module says. */
export async function instantiate(from: WasmSource, name: string, glue: Glue): Promise<WebAssembly.Exports> {
  const imports = { [name]: glue } as unknown as WebAssembly.Imports
  const given = await from
  const source = typeof given === 'string' || given instanceof URL ? await fetch(given) : given
  let started: WebAssembly.Instance | WebAssembly.WebAssemblyInstantiatedSource
  if (typeof Response !== 'function' || !(source instanceof Response)) {
    started = await WebAssembly.instantiate(source as BufferSource, imports)
  } else if (!source.ok) {
    throw new Error(`HTTP status ${source.status} for ${source.url}`)
  } else {
    const type = source.headers.get('content-type') ?? ''
    if (type.startsWith('text/html')) throw new Error(`${source.url} was answered with a page of HTML`)
    if (type === 'application/wasm') started = await WebAssembly.instantiateStreaming(source, imports)
    else started = await WebAssembly.instantiate(await source.arrayBuffer(), imports)
  }
  const { exports } = started instanceof WebAssembly.Instance ? started : started.instance
  glue.__wbg_set_wasm(exports)
  return exports
}
