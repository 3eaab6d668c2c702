import type { Supports } from './types.js'

/** What this environment can do. */
export const SUPPORTS: Supports = Object.freeze({
  WASM: typeof WebAssembly === 'object',
  WEBSOCKET: typeof WebSocket === 'function',
  WEBRTC: typeof RTCPeerConnection === 'function',
  STORAGE: hasStorage(),
  FILE_SYSTEM: typeof globalThis === 'object' && 'showDirectoryPicker' in globalThis,
})

function hasStorage(): boolean {
  try {
    return typeof globalThis.localStorage === 'object' && globalThis.localStorage !== null
  } catch {
    return false
  }
}
