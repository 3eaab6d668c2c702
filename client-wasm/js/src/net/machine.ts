/**
 * The module as TypeScript sees it: codes, and machines, each one endpoint of a pairing.
 *
 *     room(length) ─► where the bytes of the next call go
 *     call(machine, op, now, a, b) ─► where the reply is: number, a, b, where its bytes are, how many
 *
 * Both sides know what an operation takes and gives; client-wasm/src/op.rs says so. What a reply lends is the module's
 * memory, and good until the next call.
 *
 * @internal
 * @packageDocumentation
 */

import * as engine from '#engine'
import type { ErrorCode } from '../api/errors.js'
import { failure } from './failure.js'

/** What to do; `client-wasm/src/op.rs` has the same table. */
const enum Op {
  MakeCode = 0,
  ParseCode = 1,
  WithCode = 2,
  WithSecret = 3,
  Free = 4,
  Secret = 5,
  Secured = 6,
  PathUp = 7,
  PathDown = 8,
  DialFailed = 9,
  Rtt = 10,
  Take = 11,
  Transmit = 12,
  Poll = 13,
  Timeout = 14,
  Ring = 15,
  Signal = 16,
  Open = 17,
  Send = 18,
  SendDatagram = 19,
  Read = 20,
  ReadDatagram = 21,
  Finish = 22,
  Reset = 23,
  Pending = 24,
  MaxDatagram = 25,
  Ping = 26,
  Close = 27,
  Counts = 28,
}

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
  Signal = 15,
}

/** Something that happened. */
export interface News {
  told: Told
  a: number
  b: number
  /** Lent. */
  bytes: Uint8Array
}

/** A piece of a message. */
export interface Piece {
  isText: boolean
  /** Whether the message ends with it. */
  isLast: boolean
  /** Lent. */
  bytes: Uint8Array<ArrayBuffer>
}

let memory: WebAssembly.Memory
/** What the latest call gave. It is at the same address every time. */
let reply = new Float64Array()

/** Says where the module's memory is. */
export function setMemory(it: WebAssembly.Memory): void {
  memory = it
}

/** Appends secret words to a nameplate of the server. */
export function makeCode(nameplate: string, words: number): string {
  call(0, Op.MakeCode, words, 0, utf8(nameplate))
  return toText(lent())
}

/** Reads what a person typed: the code as it should be shown. Throws for people if it is none. */
export function parseCode(typed: string): string {
  call(0, Op.ParseCode, 0, 0, utf8(typed))
  return toText(lent())
}

/** One endpoint of a pairing. What a method throws is an error of `errors.ts`, unless the module itself fails. */
export class Machine {
  readonly #number: number

  /** Makes one without a path, which proves itself with a secret or, if there is none, with a code. */
  constructor(
    id: Uint8Array,
    initiator: boolean,
    secret: Uint8Array | undefined,
    code: string | undefined,
    name: string,
  ) {
    const no = (what: string) => failure('pairing-invalid', what)
    if (id.length !== 16) throw no('this is no pairing: its id is not 32 hex digits')
    if (!secret?.length && !code) throw no('the pairing has neither a secret nor a code')
    const [op, proof] = secret?.length ? [Op.WithSecret, secret] : [Op.WithCode, utf8(code!)]
    const bytes = new Uint8Array([...id, ...proof, ...utf8(name)])
    this.#number = call(0, op, Number(initiator), proof.length, bytes)
    unused.register(this, this.#number)
  }

  /** The pairing secret, once agreed. */
  secret(): Uint8Array<ArrayBuffer> | undefined {
    return this.#do(Op.Secret) < 0 ? undefined : lent().slice()
  }

  /** Whether there are keys. */
  secured(): boolean {
    return this.#do(Op.Secured) > 0
  }

  /** A path to the other peer was made; gives its number. */
  pathUp(isDirect: boolean): number {
    return this.#do(Op.PathUp, Number(isDirect))
  }

  /** A path ended. */
  pathDown(path: number): void {
    this.#do(Op.PathDown, path)
  }

  /** A direct path that was wanted could not be made. */
  dialFailed(): void {
    this.#do(Op.DialFailed)
  }

  /** How long the latest probe of a path took, in milliseconds. */
  rtt(path: number): number | undefined {
    const rtt = this.#do(Op.Rtt, path)
    return rtt < 0 ? undefined : rtt
  }

  /** Takes a frame of the other peer. Throws if it is over. */
  take(path: number, frame: Uint8Array): void {
    this.#do(Op.Take, path, 0, frame)
  }

  /** The next frame for a path that has room, if there is one; lent. */
  transmit(path: number): Uint8Array<ArrayBuffer> | undefined {
    return this.#do(Op.Transmit, path) < 0 ? undefined : lent()
  }

  /** What happened next, if anything did. */
  poll(): News | undefined {
    const told = this.#do(Op.Poll)
    return told < 0 ? undefined : { told, a: reply[1]!, b: reply[2]!, bytes: lent() }
  }

  /** When to ring, in milliseconds as `performance.now()` counts. */
  timeout(): number {
    return this.#do(Op.Timeout)
  }

  /** Time has passed. */
  ring(): void {
    this.#do(Op.Ring)
  }

  /** Seals a signal for the other peer and sends it over the relay; lost without keys or a relay. */
  signal(signal: Uint8Array): void {
    this.#do(Op.Signal, 0, 0, signal)
  }

  /** Opens a channel: 0 interactive, 1 normal, 2 bulk. Throws for a bad name, or too many channels. */
  open(name: string, priority: number): number {
    return this.#do(Op.Open, priority, 0, utf8(name))
  }

  /** Sends a message; false if there is no room, and then {@link Told.Writable} follows. */
  send(channel: number, message: string | Uint8Array): boolean {
    const isText = typeof message === 'string'
    return this.#do(Op.Send, channel, Number(isText), isText ? utf8(message) : message) > 0
  }

  /** Sends a datagram; false if it was dropped. */
  sendDatagram(channel: number, bytes: Uint8Array): boolean {
    return this.#do(Op.SendDatagram, channel, 0, bytes) > 0
  }

  /** The next piece of a message. */
  read(channel: number): Piece | undefined {
    const kind = this.#do(Op.Read, channel)
    return kind < 0 ? undefined : { isText: (kind & 1) > 0, isLast: kind > 1, bytes: lent() }
  }

  readDatagram(channel: number): Uint8Array<ArrayBuffer> | undefined {
    return this.#do(Op.ReadDatagram, channel) < 0 ? undefined : lent().slice()
  }

  /** Ends this side's direction. */
  finish(channel: number): void {
    this.#do(Op.Finish, channel)
  }

  /** Ends a channel at once. */
  reset(channel: number, code: number): void {
    this.#do(Op.Reset, channel, code >>> 0)
  }

  /** Bytes sent and not taken by the other side. */
  pending(channel: number): number {
    return this.#do(Op.Pending, channel)
  }

  /** The longest datagram. */
  maxDatagram(): number {
    return this.#do(Op.MaxDatagram)
  }

  /** Asks for {@link Told.Pong}. */
  ping(): void {
    this.#do(Op.Ping)
  }

  /** Says goodbye on every path. */
  close(): void {
    this.#do(Op.Close)
  }

  /** Records sent again, taken twice, datagrams dropped. */
  counts(): [replayed: number, duplicates: number, dropped: number] {
    return [this.#do(Op.Counts), reply[1]!, reply[2]!]
  }

  #do(op: Op, a?: number, b?: number, bytes?: Uint8Array): number {
    return call(this.#number, op, a, b, bytes)
  }
}

/** Text of the module; what is no UTF-8 in it shows as such. */
export function toText(bytes: Uint8Array): string {
  return DECODER.decode(bytes)
}

const DECODER = new TextDecoder('utf-8', { ignoreBOM: true })
const ENCODER = new TextEncoder()
const unused = new FinalizationRegistry((machine: number) => call(machine, Op.Free))

function call(machine: number, op: Op, a = 0, b = 0, bytes?: Uint8Array): number {
  // Each of both may make the memory grow: then it has another buffer, and whoever showed the old one shows nothing.
  if (bytes) {
    const at = engine.room(bytes.length)
    new Uint8Array(memory.buffer, at, bytes.length).set(bytes)
  }
  const at = engine.call(machine, op, performance.now(), a, b)
  if (reply.length === 0) reply = new Float64Array(memory.buffer, at, 5)
  const number = reply[0]!
  if (!Number.isNaN(number)) return number
  const [code, ...message] = toText(lent()).split('|')
  throw failure(code as ErrorCode, message.join('|'))
}

function lent(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(memory.buffer as ArrayBuffer, reply[3], reply[4])
}

function utf8(text: string): Uint8Array {
  return ENCODER.encode(text)
}
