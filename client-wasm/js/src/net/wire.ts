/**
 * One `RTCPeerConnection` and its two data channels.
 *
 * Both are negotiated beforehand, so that they need no announcement: number 0, `peersox.v1`, is reliable and ordered;
 * number 1, `peersox.v1.datagrams`, is neither. A message is one frame.
 *
 * @internal
 * @packageDocumentation
 */

import type { IceCandidate } from '#wire'

/** What a wire tells its owner; never while the owner calls it, nor after it is closed. */
export interface WireListener {
  /** A candidate of this side. */
  candidate(candidate: IceCandidate): void
  /** The connection or its channel is in another state, or has room again. */
  changed(): void
  /** A frame came, still unparsed; none if it was text. */
  frame(bytes: Uint8Array<ArrayBuffer>): void
}

/** See the module. */
export class Wire {
  readonly connection: RTCPeerConnection
  readonly #reliable: RTCDataChannel
  readonly #datagrams: RTCDataChannel

  /** Throws if the browser does. */
  constructor(configuration: RTCConfiguration, listener: WireListener) {
    const connection = new RTCPeerConnection(configuration)
    const common = { negotiated: true }
    this.connection = connection
    this.#reliable = connection.createDataChannel('peersox.v1', { ...common, id: 0 })
    const datagrams = { ...common, id: 1, ordered: false, maxRetransmits: 0 }
    this.#datagrams = connection.createDataChannel('peersox.v1.datagrams', datagrams)
    // None marks the end of candidates, which trickling peers need not be told.
    connection.onicecandidate = ({ candidate: it }) => {
      if (!it?.candidate) return
      listener.candidate({
        candidate: it.candidate,
        sdp_mid: it.sdpMid ?? '',
        sdp_mline_index: it.sdpMLineIndex ?? 0,
        username_fragment: it.usernameFragment ?? '',
      })
    }
    connection.onconnectionstatechange = listener.changed
    const reliable = this.#reliable
    reliable.bufferedAmountLowThreshold = LOW_WATER
    reliable.onopen = reliable.onclose = reliable.onbufferedamountlow = listener.changed
    for (const channel of [reliable, this.#datagrams]) {
      channel.binaryType = 'arraybuffer'
      channel.onmessage = ({ data }) => listener.frame(new Uint8Array(data instanceof ArrayBuffer ? data : []))
    }
  }

  /** Of the reliable channel. */
  get state(): RTCDataChannelState {
    return this.#reliable.readyState
  }

  get hasRoom(): boolean {
    return this.#reliable.bufferedAmount < HIGH_WATER
  }

  /** Sends a frame; throws if the channel is closed. A datagram that cannot leave is dropped. */
  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes[0] !== DATAGRAM) return this.#reliable.send(bytes)
    if (this.#datagrams.readyState === 'open' && this.#datagrams.bufferedAmount < DATAGRAMS_WAITING) {
      this.#datagrams.send(bytes)
    }
  }

  /** Adds a candidate of the other side. One that does not fit costs nothing but itself. */
  add(it: IceCandidate): void {
    const init: RTCIceCandidateInit = { candidate: it.candidate, sdpMid: it.sdp_mid, sdpMLineIndex: it.sdp_mline_index }
    if (it.username_fragment) init.usernameFragment = it.username_fragment
    this.connection.addIceCandidate(init).catch(() => {})
  }

  /** Nothing more is told. */
  close(): void {
    const { connection } = this
    connection.onicecandidate = connection.onconnectionstatechange = null
    for (const channel of [this.#reliable, this.#datagrams]) {
      channel.onopen = channel.onclose = channel.onbufferedamountlow = channel.onmessage = null
    }
    connection.close()
  }
}

/** The lane of datagrams, as in docs/protocol.md. */
const DATAGRAM = 2

/**
 * Bytes that wait in the browser at most. A probe waits behind it, and three seconds without an answer end the path:
 * at 1 Mbit/s this is two of them.
 */
const HIGH_WATER = 256 << 10

/** When to fill it up again. */
const LOW_WATER = 64 << 10

/** Datagrams that are older than that are not worth sending. */
const DATAGRAMS_WAITING = 64 << 10
