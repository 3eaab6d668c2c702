/**
 * Two devices meet by a code and talk: over the relay at once, directly as soon as that works.
 *
 * ```ts
 * import { PeerSoxClient } from 'peersox'
 *
 * const peersox = new PeerSoxClient({ url: 'https://example.org' })
 * const { code } = await peersox.initPairing()          // show it; the other device: peersox.pair(code)
 * peersox.on('peer.connected', () => peersox.send('hello'))
 * peersox.onString = (text) => console.log(text)
 * ```
 *
 * @packageDocumentation
 */

import type { Channel } from './channel.js'
import { Emitter } from './emitter.js'
import type { OutgoingTransfer, Sendable } from './transfer.js'
import type {
  Abortable,
  ClientEvents,
  ClientOptions,
  CodeOptions,
  Data,
  NewPairing,
  Pairing,
  Priority,
  Stats,
  Status,
  Supports,
} from './types.js'

/** One endpoint of a pairing. One client is in one pairing at a time; make another client for another. */
export class PeerSoxClient extends Emitter<ClientEvents> implements AsyncIterable<string | ArrayBuffer> {
  /** What this environment can do. */
  static readonly SUPPORTS: Supports
  /** Resolves when the WebAssembly module is there. Nobody has to wait for it. */
  readonly ready: Promise<void>
  /** Takes each binary message. */
  onBinary: ((data: ArrayBuffer) => void) | null
  /** Takes each text message, whatever it says. */
  onString: ((data: string) => void) | null

  /** Makes a client. Nothing is sent before the first call. */
  constructor(options?: ClientOptions)

  /** The pairing in use, with the secret as soon as there is one; to be stored elsewhere, for instance. */
  get pairing(): Pairing | null
  /** How things stand. */
  get status(): Status
  /** Whether messages flow. */
  isConnected(): boolean
  /** Three words that are the same on both devices if nobody is in between; `null` before the peers are sure of each other. */
  get phrase(): string | null
  /** The name that the other peer gives itself. */
  get peerName(): string | null

  /**
   * Makes a code and waits for the other device in the background. Resolves as soon as there is a code to show.
   *
   * `initPairing({ words: 0 })` makes a code of digits only.
   */
  initPairing(options?: CodeOptions): Promise<NewPairing>
  /** Joins the device that shows `code`. Resolves when the server is connected; `peer.connected` follows. */
  pair(code: string, options?: Abortable): Promise<Status>

  /** The first half of {@link PeerSoxClient.initPairing}: makes a code, connects nothing. */
  createPairing(options?: CodeOptions): Promise<NewPairing>
  /** The first half of {@link PeerSoxClient.pair}: redeems the code, connects nothing. */
  joinPairing(code: string, options?: Abortable): Promise<Pairing>
  /** Connects by a pairing that was created, joined, or restored. Resolves when the server is connected. */
  connect(pairing: Pairing, options?: Abortable): Promise<Status>
  /** Resolves when messages flow; at once if they do already. */
  connected(options?: Abortable): Promise<void>

  /** Whether a code is well-formed (and in which form it should be shown); asks nobody. */
  static parseCode(code: string): { code: string; nameplate: string; words: number }
  /** Whether the server still knows a pairing. Extends its life. Rejects only if the server cannot be asked. */
  validate(pairing: Pairing, options?: Abortable): Promise<boolean>
  /**
   * Keeps the pairing in use in the storage, so that it can be restored without a code. Resolves when it is kept: not
   * before the two devices have met.
   */
  storePairing(pairing?: Pairing | null, options?: Abortable & { name?: string | undefined }): Promise<Pairing>
  /** The pairing that was stored last, or the one with this id, if the server still knows it; to be connected. */
  restorePairing(options?: Abortable & { id?: string | undefined }): Promise<Pairing | null>
  /** Every pairing with this server that is stored, newest first. Asks nobody. */
  storedPairings(): Promise<Pairing[]>
  /** Forgets a pairing here, and on the server unless `revoke` is false; the other device then cannot use it any more. */
  deletePairing(pairing?: Pairing | null, options?: Abortable & { revoke?: boolean | undefined }): Promise<void>

  /** Looks for a direct path now. Resolves when messages take it. Rejects with an {@link UpgradeError} that says why not. */
  upgrade(options?: Abortable): Promise<void>
  /** Sends one message; see {@link Channel.send}. */
  send(data: Data, options?: Abortable): Promise<void>
  /** Bytes that were sent and that the other peer has not taken. */
  get bufferedAmount(): number
  /** Takes the next message; see {@link Channel.receive}. */
  receive(options?: Abortable): Promise<string | ArrayBuffer | undefined>
  /** The messages of the other peer. */
  get readable(): ReadableStream<string | ArrayBuffer>
  /** Messages to the other peer. Closing it closes nothing else. */
  get writable(): WritableStream<Data>
  /** Datagrams: fast, unordered, unreliable. */
  get datagrams(): Datagrams
  /** Opens a channel beside that of the messages. It may be used at once; the other side hears of it by `channel`. */
  openChannel(name: string, options?: { priority?: Priority | undefined }): Channel
  /** Offers files. Resolves when the offer is under way; see {@link OutgoingTransfer.done}. */
  sendFiles(files: Iterable<Sendable>, options?: Abortable): Promise<OutgoingTransfer>
  /** Measurements. */
  stats(): Promise<Stats>
  /** Measures the time to the other peer and back, in milliseconds. */
  ping(options?: Abortable): Promise<number>

  /**
   * Sends what is waiting, for up to five seconds, tells the other peer, and hangs up. Calling it again changes nothing. The pairing
   * stays valid.
   */
  close(): Promise<void>
  /** The messages of the other peer. */
  [Symbol.asyncIterator](): AsyncIterator<string | ArrayBuffer, undefined>
  /** As {@link PeerSoxClient.close}. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Datagrams of a client. */
export interface Datagrams {
  /** The longest in bytes. */
  readonly maxSize: number
  /** Sends one now or never. Returns whether it was sent. */
  send(data: ArrayBuffer | ArrayBufferView): boolean
  /** Those of the other peer; the oldest are dropped when nobody reads. */
  readonly readable: ReadableStream<Uint8Array>
  /** Those to the other peer. */
  readonly writable: WritableStream<ArrayBuffer | ArrayBufferView>
}
