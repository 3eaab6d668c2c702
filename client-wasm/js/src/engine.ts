/**
 * What the WebAssembly module exports, and how it is loaded. Not for applications.
 *
 * @internal
 * @packageDocumentation
 */

import * as engine from '#engine'
import { UnsupportedError } from './errors.js'
import { instantiate } from './instantiate.js'
import type { WasmSource } from './types.js'

/** What happened; `client-wasm/src/machine.rs` has the same table, and says what comes with it. */
export const enum Told {
  Secured = 0,
  Connected = 1,
  Restarted = 2,
  Closed = 3,
  Path = 4,
  Dial = 5,
  HangUp = 6,
  Pong = 7,
  Opened = 8,
  Readable = 9,
  Datagram = 10,
  Writable = 11,
  Finished = 12,
  Flushed = 13,
  Reset = 14,
}

/** The module once it is loaded. */
export type Engine = typeof engine

let source: (() => WasmSource | Promise<WasmSource>) | undefined
let loading: Promise<Engine> | undefined

/** Says where the module comes from if nobody says otherwise. */
export function setDefaultSource(get: () => WasmSource | Promise<WasmSource>): void {
  source = get
}

/** Loads the module, once. A failure is not remembered. */
export function loadEngine(from?: WasmSource): Promise<Engine> {
  loading ??= start(from).catch((error: unknown) => {
    loading = undefined
    throw new UnsupportedError('unsupported', 'the WebAssembly module cannot be loaded', { cause: error })
  })
  return loading
}

/** The module, if it is loaded. */
export function engineNow(): Engine | null {
  return loaded
}

let loaded: Engine | null = null

async function start(from?: WasmSource): Promise<Engine> {
  const module = from ?? (await source?.())
  if (module === undefined) throw new Error('no module was given')
  await instantiate(module, './engine_bg.js', engine)
  loaded = engine
  return engine
}
