// What wasm-bindgen makes of `client-wasm/src`, as far as the facade uses it. scripts/web puts the real
// thing in its place.
declare module '#engine' {
  export default function init(options: { module_or_path: unknown }): Promise<unknown>

  export function makeCode(nameplate: string, words: number): string
  export function parseCode(typed: string): { code: string; nameplate: string; words: number }

  /** Which call: create, join, state, delete. */
  export type Call = 0 | 1 | 2 | 3

  export class Server {
    constructor(url: string)
    call(call: Call, argument: Uint8Array, signal?: AbortSignal): Promise<any>
    watch(credential: Uint8Array, tell: (event: number) => void, signal?: AbortSignal): Promise<void>
  }

  export interface PeerOptions {
    server: string
    id: Uint8Array
    initiator: boolean
    credential: Uint8Array
    code?: string | undefined
    secret?: Uint8Array | undefined
    name?: string | undefined
    webrtc: 0 | 1 | 2
    iceServers?: RTCIceServer[] | undefined
    icePolicy?: string | undefined
    maxMessage: number
  }

  export interface PeerStats {
    directRtt?: number
    relayRtt?: number
    receiveRate: number
    sendRate: number
    bytesReceived: number
    bytesSent: number
    replayed: number
    duplicates: number
    datagramsDropped: number
    whyRelayed?: string
  }

  export class Peer {
    constructor(options: PeerOptions, listener: (kind: number, a: any, b: any, c: any) => void)
    secret(): Uint8Array | undefined
    open(name: string, priority: number): number
    sendText(handle: number, text: string): boolean
    sendBytes(handle: number, bytes: Uint8Array): boolean
    sendDatagram(handle: number, bytes: Uint8Array): boolean
    read(handle: number): string | Uint8Array<ArrayBuffer> | undefined
    readDatagram(handle: number): Uint8Array<ArrayBuffer> | undefined
    finish(handle: number): void
    reset(handle: number, code: number): void
    forget(handle: number): void
    pending(handle: number): number
    maxDatagram(): number
    ping(): void
    upgrade(): boolean
    wake(): void
    stats(): PeerStats
    rtcStats(): Promise<RTCStatsReport> | undefined
    close(patience: number): void
    free(): void
  }
}

// The module itself, deflated and in base64.
declare module '#wasm' {
  const deflated: string
  export default deflated
}
