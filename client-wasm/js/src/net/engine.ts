/**
 * How the WebAssembly module is loaded. Not for applications.
 *
 * @internal
 * @packageDocumentation
 */

import * as glue from '#engine'
import { makeCode, parseCode } from '#ops'
import { UnsupportedError } from '../api/errors.js'
import type { WasmSource } from '../api/types.js'
import { setMemory } from './door.js'
import { instantiate } from './instantiate.js'
import { Machine } from './machine.js'
import { needs } from './needs.js'

/** What the module can do. */
export type Engine = typeof ENGINE

const ENGINE = { Machine, makeCode, parseCode }

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
    const why = error instanceof Error ? `: ${error.message}` : ''
    throw new UnsupportedError('unsupported', `the WebAssembly module cannot be loaded${why}`, { cause: error })
  })
  return loading
}

/** The module, if it is loaded. */
export function engineNow(): Engine | null {
  return loaded
}

let loaded: Engine | null = null

async function start(from?: WasmSource): Promise<Engine> {
  needs('WebAssembly', 'TextDecoder', 'TextEncoder', 'crypto', 'FinalizationRegistry', 'atob')
  const module = from ?? (await source?.())
  if (module === undefined) throw new Error('no module was given')
  const { memory } = await instantiate(module, `./engine-${BUILD}_bg.js`, glue)
  setMemory(memory as WebAssembly.Memory)
  loaded = ENGINE
  return loaded
}
