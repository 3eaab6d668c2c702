/**
 * One `RTCPeerConnection` and its two data channels.
 *
 * Both are negotiated beforehand, so that they need no announcement: number 0, `peersox.v1`, is reliable and ordered;
 * number 1, `peersox.v1.datagrams`, is neither. A message is one frame.
 *
 * @internal
 * @packageDocumentation
 */

/** What a wire tells its owner; never while the owner calls it, nor after it is closed. */
export interface WireListener {
  /** An offer or answer was made, and is the local description. */
  described(type: string, sdp: string): void
  /** The description of the other side was taken. */
  accepted(): void
  /** A step failed. */
  failed(): void
  /** A candidate of this side. */
  candidate(line: number, candidate: string, mid: string, fragment: string): void
  /** The connection, or its reliable channel, is in another state. */
  changed(): void
  /** The reliable channel has room again. */
  room(): void
  /** A message came, still unparsed; empty if it was text, which no frame is. */
  frame(bytes: Uint8Array<ArrayBuffer>): void
}

/** See the module. */
export class Wire {
  readonly #connection: RTCPeerConnection
  readonly #reliable: RTCDataChannel
  readonly #datagrams: RTCDataChannel
  /** Null once it is closed. */
  #listener: WireListener | null

  /** Throws if the browser does. */
  constructor(configuration: RTCConfiguration, listener: WireListener) {
    const connection = new RTCPeerConnection(configuration)
    const common = { negotiated: true }
    this.#listener = listener
    this.#connection = connection
    this.#reliable = connection.createDataChannel('peersox.v1', { ...common, id: 0 })
    const datagrams = { ...common, id: 1, ordered: false, maxRetransmits: 0 }
    this.#datagrams = connection.createDataChannel('peersox.v1.datagrams', datagrams)
    // None marks the end of candidates, which trickling peers need not be told.
    connection.onicecandidate = ({ candidate: it }) => {
      if (!it?.candidate) return
      listener.candidate(it.sdpMLineIndex ?? 0, it.candidate, it.sdpMid ?? '', it.usernameFragment ?? '')
    }
    connection.onconnectionstatechange = listener.changed
    const reliable = this.#reliable
    reliable.bufferedAmountLowThreshold = LOW_WATER
    reliable.onopen = reliable.onclose = listener.changed
    reliable.onbufferedamountlow = listener.room
    for (const channel of [reliable, this.#datagrams]) {
      channel.binaryType = 'arraybuffer'
      channel.onmessage = ({ data }) => listener.frame(new Uint8Array(typeof data === 'string' ? [] : data))
    }
  }

  /** Of the connection. */
  get state(): RTCPeerConnectionState {
    return this.#connection.connectionState
  }

  /** Of the reliable channel. */
  get channelState(): RTCDataChannelState {
    return this.#reliable.readyState
  }

  get hasRoom(): boolean {
    return this.#reliable.readyState === 'open' && this.#reliable.bufferedAmount < HIGH_WATER
  }

  /** `RTCPeerConnection.getStats()`. */
  stats(): Promise<RTCStatsReport> {
    return this.#connection.getStats()
  }

  /** Makes an offer and takes it as the local description. */
  offer(iceRestart: boolean, configuration: RTCConfiguration): void {
    this.#describe(configuration, (it) => it.createOffer({ iceRestart }))
  }

  /** Makes an answer and takes it as the local description. */
  answer(configuration: RTCConfiguration): void {
    this.#describe(configuration, (it) => it.createAnswer())
  }

  /** Takes the description of the other side. */
  accept(type: string, sdp: string): void {
    this.#do(async () => {
      await this.#connection.setRemoteDescription({ type: type as RTCSdpType, sdp })
      this.#listener?.accepted()
    })
  }

  /** Adds a candidate of the other side. One that does not fit costs nothing but itself. */
  add(sdpMLineIndex: number, candidate: string, sdpMid: string, usernameFragment: string): void {
    const init: RTCIceCandidateInit = { candidate, sdpMid, sdpMLineIndex }
    if (usernameFragment) init.usernameFragment = usernameFragment
    this.#connection.addIceCandidate(init).catch(() => {})
  }

  /** Sends a frame; throws if the channel is closed. A datagram that cannot leave is dropped. */
  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes[0] !== DATAGRAM) return this.#reliable.send(bytes)
    if (this.#datagrams.readyState === 'open' && this.#datagrams.bufferedAmount < DATAGRAMS_WAITING) {
      this.#datagrams.send(bytes)
    }
  }

  /** Nothing more is told. */
  close(): void {
    const connection = this.#connection
    this.#listener = null
    connection.onicecandidate = connection.onconnectionstatechange = null
    for (const channel of [this.#reliable, this.#datagrams]) {
      channel.onopen = channel.onclose = channel.onbufferedamountlow = channel.onmessage = null
    }
    connection.close()
  }

  #describe(
    configuration: RTCConfiguration,
    make: (connection: RTCPeerConnection) => Promise<RTCLocalSessionDescriptionInit>,
  ): void {
    const connection = this.#connection
    this.#do(async () => {
      // The servers may be others than when the connection was made. Firefox before 119 does not know how.
      connection.setConfiguration?.(configuration)
      const description = await make(connection)
      await connection.setLocalDescription(description)
      this.#listener?.described(description.type ?? '', description.sdp ?? '')
    })
  }

  /** Runs a step that a browser takes asynchronously. */
  #do(step: () => Promise<void>): void {
    step().catch(() => this.#listener?.failed())
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
