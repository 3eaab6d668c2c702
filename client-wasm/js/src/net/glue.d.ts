// What wasm-bindgen makes of `client-wasm/src`. scripts/web puts the real thing in its place; `machine.ts` gives it types.
declare module '#engine' {
  export function __wbg_set_wasm(exports: unknown): void

  export function room(length: number): number
  export function call(machine: number, op: number, now: number, a: number, b: number): number
}

// The messages that this side reads or writes, out of proto/ and status.proto; messages.mjs makes the real thing.
declare module '#wire' {
  type Table<T> = import('./protobuf.js').Table<T>

  export interface IceServer {
    urls: string[]
    username: string
    credential: string
  }

  export interface OpenSessionResponse {
    ticket: string
    ticket_expires_at_millis: number
    endpoints: { transport: number; url: string }[]
    ice_servers: IceServer[]
  }

  export interface Notice {
    hello: { ticket: string; agent: string } | undefined
    welcome: { peer_online: boolean; resumed: boolean; limits: { keepalive_millis: number } | undefined } | undefined
    ping: { nonce: number } | undefined
    pong: { nonce: number } | undefined
    peer_online: object | undefined
    peer_away: { grace_millis: number } | undefined
    draining: object | undefined
    datagrams_dropped: { count: number } | undefined
  }

  export interface IceCandidate {
    candidate: string
    sdp_mid: string
    sdp_mline_index: number
    username_fragment: string
  }

  export interface Signal {
    attempt: number
    description: { type: string; sdp: string } | undefined
    candidate: IceCandidate | undefined
  }

  export interface Any {
    type_url: string
    value: Uint8Array
  }

  export const CreatePairingResponse: Table<{
    pairing_id: Uint8Array
    nameplate: string
    credential: Uint8Array
    code_expires_at_millis: number
    restorable_until_millis: number
  }>
  export const JoinPairingRequest: Table<{ nameplate: string }>
  export const JoinPairingResponse: Table<{
    pairing_id: Uint8Array
    credential: Uint8Array
    restorable_until_millis: number
  }>
  export const GetPairingRequest: Table<{ credential: Uint8Array }>
  export const GetPairingResponse: Table<object>
  export const DeletePairingResponse: Table<object>
  export const WatchPairingResponse: Table<{ event: number }>
  export const OpenSessionResponse: Table<OpenSessionResponse>
  export const Notice: Table<Notice>
  export const Signal: Table<Signal>
  export const Status: Table<{ details: Any[] }>
  export const ErrorInfo: Table<{ reason: string }>
  export const RetryInfo: Table<{ retry_delay: { seconds: number; nanos: number } | undefined }>
}

/** The version of the package. */
declare const VERSION: string

/** What tells files of one build from those of another: their names for each other's parts differ. */
declare const BUILD: string

// The module itself, deflated and in base64.
declare module '#wasm' {
  const deflated: string
  export default deflated
}
