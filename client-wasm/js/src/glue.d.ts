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

  export interface Entry {
    path: string[]
    directory: boolean
    size?: number | undefined
    modified?: number | undefined
  }

  export interface Offer {
    id: Uint8Array
    entries: Entry[]
    totalBytes?: number
  }

  export interface Progress {
    entry?: number
    filesDone: number
    filesTotal: number
    bytesDone: number
    bytesTotal?: number
    bytesResumed: number
  }

  /** What a step asks for; `client-wasm/src/transfer.rs` has the same table. */
  export type Step =
    | { ask: 0 | 1 | 3 | 6 }
    | { ask: 2; entry: number; offset: number; max: number }
    | { ask: 4; entry: number; offset: number; bytes: Uint8Array }
    | { ask: 5; entry: number }

  export class Outgoing {
    constructor(peer: Peer, handle: number, entries: Entry[])
    step(): Step
    feed(bytes: Uint8Array): void
    cancel(code: number, text: string): void
    progress(): Progress
    offer(): Offer
    free(): void
  }

  export class Incoming {
    constructor(peer: Peer, handle: number)
    step(): Step
    offer(): Offer
    hold(entry: number, bytes: Uint8Array): void
    skip(entry: number): void
    accept(): void
    decline(text: string): void
    stored(): void
    cancel(code: number, text: string): void
    progress(): Progress
    free(): void
  }
}

// The module itself, deflated and in base64.
declare module '#wasm' {
  const deflated: string
  export default deflated
}
