/**
 * What goes into a client and comes out of it. Everything here is a plain value.
 *
 * @packageDocumentation
 */

/** Which of the two peers of a pairing this is: the one that showed the code, or the one that typed it. */
export type Role = 'initiator' | 'joiner'

/** The way that messages take: over the server's relay, or from browser to browser. */
export type PathKind = 'relay' | 'webrtc'

/** What carries the connection to the relay. */
export type Transport = 'websocket' | 'webtransport'

/** What may carry it: `auto` begins with a WebSocket, and goes on over WebTransport where that passes. */
export type TransportChoice = 'auto' | Transport

/** What may be sent as a message. Of a view exactly its part of the buffer is sent, of a `Blob` or `File` its bytes. */
export type Data = string | ArrayBufferLike | ArrayBufferView | Blob

/** Who goes first when several channels have something to send. */
export type Priority = 'interactive' | 'normal' | 'bulk'

/** Every method that takes time can be given up. */
export interface Abortable {
  /** Aborts the call: its promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** How a client behaves. */
export interface ClientOptions {
  /**
   * Where the server is, `https://host:port`. By default the origin of the page.
   */
  url?: string | URL | undefined
  /**
   * The key, or the token, for a server that lets only those make codes who have one; or what gets it, asked for each
   * code, as tokens expire. Whoever joins needs none.
   */
  token?: string | (() => string | Promise<string>) | undefined
  /** Writes what happens to the console. Codes and secrets are never written. */
  debug?: boolean | undefined
  /**
   * Whether to look for a direct path: `auto` (default) by itself, and again whenever one is lost;
   * `manual` only when {@link PeerSoxClient.upgrade} is called; `off` never, not even if the peer asks.
   */
  webrtc?: 'auto' | 'manual' | 'off' | undefined
  /** What carries the connection to the relay; by default `auto`. */
  transport?: TransportChoice | undefined
  /** Servers for ICE beside those that the server names. */
  iceServers?: RTCIceServer[] | undefined
  /** `relay` permits TURN candidates only, so that the peer does not learn this device's addresses. */
  iceTransportPolicy?: RTCIceTransportPolicy | undefined
  /**
   * Where pairings are kept. By default `localStorage` where there is one, else memory; `null` keeps none.
   */
  storage?: PairingStorage | null | undefined
  /** A name of this device for the other one, shown after the connection is secured. At most 256 bytes. */
  name?: string | undefined
  /**
   * For how many milliseconds a lost server is sought before the client closes with an {@link UnreachableError}, or the
   * server's last error. By default it never gives up: a closed lid may stay closed for a night.
   */
  patienceMs?: number | undefined
  /**
   * The longest message that is taken, in bytes; a longer one resets its channel. 64 MiB by default. Messages of up to so
   * many bytes may be sent, too, and of up to 64 MiB in any case.
   */
  maxMessageBytes?: number | undefined
  /**
   * Where the WebAssembly module is, for the entry `peersox/slim`: a URL, a `Response`, bytes or a
   * compiled module. The main entry carries it inside.
   */
  wasm?: WasmSource | undefined
  /** The same for the module that transfers need; asked when the first file is sent or offered. */
  transferWasm?: (() => WasmSource | Promise<WasmSource>) | undefined
}

/** What the entry `peersox/slim` takes as its module. */
export type WasmSource =
  | string
  | URL
  | Response
  | BufferSource
  | WebAssembly.Module
  | Promise<Response | BufferSource | WebAssembly.Module>

/**
 * A device's side of a pairing: JSON, to be kept as a secret.
 *
 * As long as `secret` is missing the two devices have not met; such a pairing cannot be restored.
 */
export interface Pairing {
  /** The server that knows it. */
  server: string
  /** The name of the pairing: 32 hex digits. */
  id: string
  /** Which of the two peers this is. */
  role: Role
  /** This side's right to the pairing, in base64. */
  credential: string
  /** What came of the code, in base64: proves the peers to each other. */
  secret?: string | undefined
  /** The code that a person carries across, until `secret` is there. */
  code?: string | undefined
  /** When the code stops working. Milliseconds since the Unix epoch. */
  codeExpiresAt?: number | undefined
  /** Until when an unused pairing can be restored. Milliseconds since the Unix epoch. */
  restorableUntil?: number | undefined
  /** A name for people, as given to {@link PeerSoxClient.storePairing}. */
  name?: string | undefined
  /** When it was stored last. Milliseconds since the Unix epoch. */
  storedAt?: number | undefined
}

/** A pairing just made, to be shown to a person. */
export interface NewPairing extends Pairing {
  /** `481920-tulip-ember`: digits for the server, words for the other device alone. */
  code: string
  /** When the code stops working. Milliseconds since the Unix epoch. */
  codeExpiresAt: number
}

/** How to make a code. */
export interface CodeOptions extends Abortable {
  /**
   * How many secret words follow the digits, 0 to 16. Two (20 bits) by default. With none the
   * server, or whoever guesses the digits first, could stand between the peers.
   */
  words?: number | undefined
}

/** Keeps strings by name, as `localStorage` does; may be asynchronous. */
export interface PairingStorage {
  /** The value of a name, `null` if there is none. */
  getItem(key: string): string | null | Promise<string | null>
  /** Keeps a value under a name. */
  setItem(key: string, value: string): void | Promise<void>
  /** Forgets a name. */
  removeItem(key: string): void | Promise<void>
}

/** How things stand, at one moment. */
export interface Status {
  /** `idle` before the first pairing, `closed` after the last. */
  server: 'idle' | 'connecting' | 'connected' | 'closed'
  /** Whether messages flow, and if not, whether the other peer is expected back. */
  peer: 'none' | 'waiting' | 'connected' | 'away' | 'gone'
  /** The way that messages take now. */
  path: PathKind | null
  /** The pairing in use. */
  pairingId: string | null
  /** Which of its peers this is. */
  role: Role | null
  /** Whether this side showed the code. */
  isInitiator: boolean
}

/** Measurements, from {@link PeerSoxClient.stats}. */
export interface Stats {
  /** The way that messages take now. */
  path: PathKind | null
  /** From this peer to the other and back, in milliseconds, over the path in use. */
  rtt: number | null
  /** From this peer to the relay and back, in milliseconds. */
  relayRtt: number | null
  /** What carries the connection to the relay. */
  transport: Transport | null
  /** Bytes per second that arrived, over the last two seconds, with every overhead of ours. */
  receiveRate: number
  /** Bytes per second that were sent, likewise. */
  sendRate: number
  /** Bytes that arrived since the connection began. */
  bytesReceived: number
  /** Bytes that were sent since then. */
  bytesSent: number
  /** Items that were sent again because a path was lost. */
  replayed: number
  /** Items that came twice and were dropped. */
  duplicates: number
  /** Datagrams dropped by either side or the relay. */
  datagramsDropped: number
  /** The candidates in use, if there is a direct path. */
  webrtc: {
    /** `host`, `srflx`, `prflx` or `relay`. */
    localCandidate: string | null
    /** The same of the other side. */
    remoteCandidate: string | null
    /** `udp` or `tcp`. */
    protocol: string | null
  } | null
  /** Why messages take the relay, in words for people; `null` on a direct path. */
  whyRelayed: string | null
}

/** Why there is no leg to the relay. */
export type ServerClosedCause =
  /** The relay hung up; the number says why. */
  | 'hung-up'
  /** The relay hung up because the other peer was lost and did not come back in time. */
  | 'peer-lost'
  /** The leg was closed with a number that is not of the protocol. */
  | 'unknown'
  /** The connection broke, or could not be made. */
  | 'broken'
  /** The relay answers nothing. */
  | 'silent'
  /** What came from the relay was altered under way. */
  | 'altered'
  /** The relay sent what is not a frame. */
  | 'malformed'
  /** The relay did not begin as the protocol says. */
  | 'no-welcome'
  /** The server offers no way that this environment can take. */
  | 'no-transport'
  /** The relay did not answer in time. */
  | 'timed-out'
  /** The server could not be asked, or refused. */
  | 'control'

/** Why a client is closed. */
export type CloseReason =
  /** This side called {@link PeerSoxClient.close}. */
  | 'closed'
  /** The other peer closed. */
  | 'peer-closed'
  /** The pairing was deleted, or not used for too long. */
  | 'revoked'
  /** The same pairing was opened elsewhere on this device, for instance in another tab. */
  | 'replaced'
  /** The code was not used in time. */
  | 'expired'
  /** The codes differ, or somebody stood between the peers. The code is spent. */
  | 'code-mismatch'
  /** What arrives is altered under way, or the peers hold different secrets. */
  | 'tampered'
  /** The other peer, or the server, broke the protocol. */
  | 'protocol'
  /** Something that trying again would not change. */
  | 'failed'

/** What this environment can do. */
export interface Supports {
  /** There is WebAssembly. Nothing works without it. */
  readonly WASM: boolean
  /** There are WebSockets: the relay can be reached. */
  readonly WEBSOCKET: boolean
  /** There are data channels: peers can be reached directly. */
  readonly WEBRTC: boolean
  /** Pairings survive the page, in `localStorage`. */
  readonly STORAGE: boolean
  /** Files can be written to disk as they arrive. */
  readonly FILE_SYSTEM: boolean
}
