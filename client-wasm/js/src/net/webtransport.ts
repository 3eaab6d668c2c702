/**
 * A leg over WebTransport: frames on one stream, each after its length; datagrams as datagrams.
 *
 * ```text
 *   stream     *( length, 4 bytes, big-endian ‖ frame )        either way
 *   datagram   frame of the datagram lane
 * ```
 *
 * It is loaded when it is needed, from a file of its own.
 *
 * @internal
 * @packageDocumentation
 */

import type { Leg, LegListener } from './leg.js'

/** See the module. */
export class WebTransportLeg implements Leg {
  readonly #session: WebTransport
  #stream: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>> | undefined
  #datagrams: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>> | undefined
  /** Nobody hears of it any more. */
  #isOver = false
  /** Bytes that the browser has not taken. */
  #waiting = 0

  /** Connects to a server that the browser knows, or whose certificate has one of these SHA-256 digests. Throws if the
   * browser refuses the URL. */
  constructor(url: string, listener: LegListener, digests: Uint8Array[]) {
    const serverCertificateHashes = digests.map((value) => ({ algorithm: 'sha-256', value: value.slice() }))
    // An empty list would be one that no certificate is on.
    this.#session = new WebTransport(url, digests.length > 0 ? { serverCertificateHashes } : {})
    const closed = (code: number) => {
      if (this.#isOver) return
      this.#isOver = true
      listener.closed(code)
    }
    // Who says 0 says nothing.
    this.#session.closed.then(
      ({ closeCode }) => closed(closeCode || -1),
      () => closed(-1),
    )
    void this.#run(listener).catch(() => this.#session.close())
  }

  /** Sends a frame. Its bytes are lent. */
  send(frame: Uint8Array<ArrayBuffer>): void {
    const datagrams = this.#session.datagrams
    if (frame[0] === DATAGRAM) {
      // One that does not fit is late, and not worth the stream.
      if (frame.length <= datagrams.maxDatagramSize) this.#write(this.#datagrams, frame.slice())
      return
    }
    const bytes = new Uint8Array(PREFIX + frame.length)
    new DataView(bytes.buffer).setUint32(0, frame.length)
    bytes.set(frame, PREFIX)
    this.#write(this.#stream, bytes)
  }

  get hasRoom(): boolean {
    return !this.#isOver && this.#stream !== undefined && this.#waiting < HIGH_WATER
  }

  get isCrowded(): boolean {
    return !this.#isOver && this.#waiting >= HIGH_WATER
  }

  get waits(): boolean {
    return this.#waiting > 0
  }

  hangUp(code?: number): void {
    this.#isOver = true
    const end = () => this.#session.close(code === undefined ? {} : { closeCode: code })
    if (code === undefined || !this.#stream) return end()
    // The end of a session takes with it what is under way. A stream that is closed waits for the other side to have it
    // all; with a connection that is dead it fails.
    void this.#stream.close().then(end, end)
  }

  #write(writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>> | undefined, bytes: Uint8Array<ArrayBuffer>): void {
    this.#waiting += bytes.length
    const taken = () => void (this.#waiting -= bytes.length)
    // What cannot be written is told by the end of the session.
    writer?.write(bytes).then(taken, taken)
  }

  async #run(listener: LegListener): Promise<void> {
    await this.#session.ready
    const stream = await this.#session.createBidirectionalStream()
    if (this.#isOver) return
    this.#stream = stream.writable.getWriter()
    this.#datagrams = this.#session.datagrams.writable.getWriter()
    listener.open()
    // Their loss is no end; that of the session is.
    void each(this.#session.datagrams.readable, (frame) => this.#hear(listener, frame)).catch(() => {})
    let begun = NOTHING
    await each(stream.readable, (chunk) => {
      begun = this.#split(begun.length > 0 ? joined(begun, chunk) : chunk, listener)
    })
  }

  /** Hands on the frames that are whole, and gives the rest. */
  #split(bytes: Uint8Array<ArrayBuffer>, listener: LegListener): Uint8Array<ArrayBuffer> {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = 0
    while (at + PREFIX <= bytes.length) {
      const end = at + PREFIX + view.getUint32(at)
      if (end - at > LARGEST) throw new Error('a frame is too large')
      if (end > bytes.length) break
      this.#hear(listener, bytes.subarray(at + PREFIX, end))
      at = end
    }
    return bytes.subarray(at)
  }

  #hear(listener: LegListener, frame: Uint8Array<ArrayBuffer>): void {
    if (!this.#isOver) listener.frame(frame)
  }
}

async function each(stream: ReadableStream<Uint8Array<ArrayBuffer>>, act: (chunk: Uint8Array<ArrayBuffer>) => void): Promise<void> {
  const reader = stream.getReader()
  for (let read = await reader.read(); !read.done; read = await reader.read()) act(read.value)
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

const NOTHING: Uint8Array<ArrayBuffer> = new Uint8Array()
/** The first byte of a frame of the datagram lane. */
const DATAGRAM = 2
/** Bytes of a length. */
const PREFIX = 4
/** A frame from a relay is never longer, with its length; a longer one is the relay's mistake. */
const LARGEST = PREFIX + (1 << 20)
/** Bytes. As for a WebSocket. */
const HIGH_WATER = 1 << 20
