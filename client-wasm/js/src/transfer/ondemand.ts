/**
 * Transfers, loaded when the first file is sent or offered: a file of JavaScript and a module of WebAssembly that a
 * page which only talks never asks for.
 *
 * @internal
 * @packageDocumentation
 */

import { UnsupportedError } from '../api/errors.js'
import * as shared from './shared.js'
import type { Transfers } from './transfers.js'
import type { WasmSource } from '../api/types.js'

/** The file of transfers. */
export interface Chunk {
  /** Makes what is in it out of what the main file has, if both are of one build. */
  default(given: typeof shared, build: string): Transfers
  /** The module, if it is inside. */
  deflated?: string
}

let source: { chunk: () => Promise<Chunk>; wasm: (chunk: Chunk) => WasmSource | Promise<WasmSource> } | undefined
let code: Promise<[Chunk, Transfers]> | undefined
let ready: Promise<Transfers> | undefined

/** Says where both come from. */
export function setTransferSource(from: NonNullable<typeof source>): void {
  source = from
}

/** Loads both, once. A failure is not remembered. */
export function loadTransfers(wasm?: () => WasmSource | Promise<WasmSource>): Promise<Transfers> {
  ready ??= start(wasm).catch((error: unknown) => {
    ready = undefined
    throw failed(error)
  })
  return ready
}

/** The code alone, without the module. */
export function transferCode(): Promise<Transfers> {
  return loadCode().then(
    ([, transfers]) => transfers,
    (error: unknown) => {
      throw failed(error)
    },
  )
}

function loadCode(): Promise<[Chunk, Transfers]> {
  code ??= (async (): Promise<[Chunk, Transfers]> => {
    if (!source) throw new Error('nobody said where it is')
    const chunk = await source.chunk()
    return [chunk, chunk.default(shared, BUILD)]
  })().catch((error: unknown) => {
    code = undefined
    throw error
  })
  return code
}

async function start(wasm?: () => WasmSource | Promise<WasmSource>): Promise<Transfers> {
  const [chunk, transfers] = await loadCode()
  await transfers.start(await (wasm ? wasm() : source!.wasm(chunk)))
  return transfers
}

function failed(cause: unknown): UnsupportedError {
  return new UnsupportedError('unsupported', 'the part that transfers files cannot be loaded', { cause })
}
