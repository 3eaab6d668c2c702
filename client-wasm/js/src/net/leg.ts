/**
 * One connection to the relay: frames in, frames out. Over a WebSocket a message is one frame; webtransport.ts has the
 * other transport.
 *
 * @internal
 * @packageDocumentation
 */

/** What a leg tells its owner; never while the owner calls it. */
export interface LegListener {
  /** The transport is connected. */
  open(): void
  /** A message came, still unparsed; empty if it was text, which no frame is. */
  frame(bytes: Uint8Array<ArrayBuffer>): void
  /** It is over, or could not be connected; with a number or, if nobody said one, −1. */
  closed(code: number): void
}

/** See the module. */
export interface Leg {
  /** Sends a frame. Its bytes are lent. */
  send(frame: Uint8Array<ArrayBuffer>): void
  /** Whether another frame may be sent without too much waiting already. */
  readonly hasRoom: boolean
  /** Whether so much waits that the leg has to be looked at again: it does not tell when it has room. */
  readonly isCrowded: boolean
  /** Whether frames that were sent still wait in this process. */
  readonly waits: boolean
  /** Ends it, and says why. What was sent before still leaves; nothing more is told. */
  hangUp(code?: number): void
}

/** A leg over a WebSocket. */
export class WebSocketLeg implements Leg {
  readonly #socket: WebSocket

  /** Throws if the browser refuses the URL. */
  constructor(url: string, listener: LegListener) {
    const socket = new WebSocket(url, SUBPROTOCOL)
    socket.binaryType = 'arraybuffer'
    socket.onopen = () => {
      socket.onerror = null
      listener.open()
    }
    socket.onmessage = ({ data }) => listener.frame(new Uint8Array(typeof data === 'string' ? [] : data))
    const closed = (code: number) => {
      socket.onerror = socket.onclose = null
      listener.closed(code)
    }
    // 1006 says that nobody said anything.
    socket.onclose = ({ code }) => closed(code === 1006 ? -1 : code)
    // What the policy of the page forbids is an error in Chromium, and no close.
    socket.onerror = () => {
      if (socket.readyState === CLOSED) closed(-1)
    }
    this.#socket = socket
  }

  send(frame: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(KEEPS ? frame.slice() : frame)
  }

  get hasRoom(): boolean {
    return this.#isOpen && this.#socket.bufferedAmount < HIGH_WATER
  }

  get isCrowded(): boolean {
    return this.#isOpen && !this.hasRoom
  }

  get waits(): boolean {
    return this.#socket.bufferedAmount > 0
  }

  hangUp(code?: number): void {
    const socket = this.#socket
    socket.onopen = socket.onmessage = socket.onerror = socket.onclose = null
    socket.close(code)
  }

  get #isOpen(): boolean {
    return this.#socket.readyState === OPEN
  }
}

/** `WebSocket.OPEN`. */
const OPEN = 1
/** `WebSocket.CLOSED`. */
const CLOSED = 3

/**
 * Node's WebSocket counts what waits by the view that it was given, once it has been sent: a lent one may be empty by
 * then, and it would wait for ever.
 */
const KEEPS = 'process' in globalThis

const SUBPROTOCOL = 'peersox.v1'

/** Bytes. A browser takes what it is given; this bounds what waits in it. Enough for 20 ms at 50 MB/s. */
const HIGH_WATER = 1 << 20
