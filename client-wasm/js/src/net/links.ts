/**
 * The legs and connections of one machine: made and ended as it says, what they report told to it, its frames carried.
 *
 * @internal
 * @packageDocumentation
 */

import { CHANNELS, CONNECTIONS, Told } from '#tables'
import type { OpenSessionResponse } from '#wire'
import type { UnreachableError } from '../api/errors.js'
import { unreachable } from './causes.js'
import { clock, texts } from './door.js'
import { type Leg, type LegListener, WebSocketLeg } from './leg.js'
import type { Machine } from './machine.js'
import { Meter } from './meter.js'
import { iceServers, WEBTRANSPORT } from './servers.js'
import { Wire } from './wire.js'

/** What a machine tells. */
export type News = NonNullable<ReturnType<Machine['poll']>>

/** See the module. */
export class Links {
  readonly received = new Meter()
  readonly sent = new Meter()
  /** The latest answer of OpenSession. */
  session: OpenSessionResponse | undefined
  readonly #machine: Machine
  readonly #own: RTCConfiguration
  readonly #hear: (act: () => void) => void
  readonly #refused: (error: UnreachableError) => void
  /** By number; without a value while what a leg needs is loaded. */
  readonly #legs = new Map<number, Leg | undefined>()
  readonly #wires = new Map<number, Wire>()

  /**
   * Reports to `machine` within `hear`, which does what follows; and to `refused` what kept a leg from being opened, before
   * the machine hears of it. `own` are servers that the page gives, and its policy.
   */
  constructor(
    machine: Machine,
    own: RTCConfiguration,
    hear: (act: () => void) => void,
    refused: (error: UnreachableError) => void,
  ) {
    this.#machine = machine
    this.#own = own
    this.#hear = hear
    this.#refused = refused
  }

  /** Does what the machine asks for; false if that is not about links. */
  obey({ told, a, b, bytes }: News): boolean {
    const wire = this.#wires.get(a)
    switch (told) {
      case Told.Connect:
        void this.#connect(a, b)
        return true
      case Told.HangUp:
        this.#hangUp(a, b)
        return true
      case Told.Make:
        this.#make(a)
        return true
      case Told.Offer:
        wire?.offer(b > 0, this.#configuration)
        return true
      case Told.Accept: {
        const [type, sdp] = texts(bytes)
        wire?.accept(type!, sdp!)
        return true
      }
      case Told.Answer:
        wire?.answer(this.#configuration)
        return true
      case Told.Add: {
        const [candidate, mid, fragment] = texts(bytes)
        wire?.add(b, candidate!, mid!, fragment!)
        return true
      }
      case Told.Drop:
        wire?.close()
        this.#wires.delete(a)
        return true
      default:
        return false
    }
  }

  /** Hands frames to everything with room; true if there were any. */
  transmit(): boolean {
    let any = false
    const send = (to: Leg | Wire, frame: Uint8Array<ArrayBuffer>) => {
      to.send(frame)
      this.sent.add(frame.length, clock())
      any = true
    }
    for (const [number, leg] of this.#legs) {
      while (leg?.hasRoom) {
        const frame = this.#machine.transmitLeg(number)
        if (!frame) break
        send(leg, frame)
      }
    }
    for (const [number, wire] of this.#wires) {
      try {
        while (wire.hasRoom) {
          const frame = this.#machine.transmitDirect(number)
          if (!frame) break
          send(wire, frame)
        }
      } catch {
        // The channel was closed meanwhile.
        this.#machine.changed(number, 0, CHANNELS.indexOf('closed'))
        any = true
      }
    }
    return any
  }

  /** Whether a leg has to be looked at again. */
  get isCrowded(): boolean {
    return [...this.#legs.values()].some((it) => it?.isCrowded)
  }

  /** Tells the machine of which legs frames wait in this process. */
  tellWaiting(): void {
    for (const [number, leg] of this.#legs) this.#machine.waiting(number, !!leg?.waits)
  }

  /** `RTCPeerConnection.getStats()` of the connection that is there. */
  stats(): Promise<RTCStatsReport> | undefined {
    return [...this.#wires.values()].at(-1)?.stats()
  }

  /** Ends them all, without a word of the machine's. */
  stop(): void {
    for (const leg of this.#legs.values()) leg?.hangUp()
    this.#legs.clear()
    for (const wire of this.#wires.values()) wire.close()
  }

  async #connect(number: number, transport: number): Promise<void> {
    const endpoint = this.session?.endpoints.find((it) => it.transport === transport)
    const url = endpoint?.url ?? ''
    let wasOpen = false
    /** It could not be opened. What the browser threw, if it did. */
    const failed = (thrown?: unknown) => {
      void unreachable(url, thrown ?? new Error(`no connection to ${url} can be opened`)).then((error) => {
        this.#hear(() => {
          this.#refused(error)
          this.#machine.legEnded(number, -1)
        })
      })
    }
    const listener: LegListener = {
      open: () => {
        wasOpen = true
        this.#hear(() => this.#machine.legConnected(number))
      },
      frame: (bytes) =>
        this.#hear(() => {
          this.received.add(bytes.length, clock())
          this.#machine.takeLeg(number, bytes)
        }),
      closed: (code) => {
        this.#legs.delete(number)
        if (!wasOpen && code < 0) return failed()
        this.#hear(() => this.#machine.legEnded(number, code))
      },
    }
    try {
      this.#legs.set(number, undefined)
      const Leg = transport === WEBTRANSPORT ? (await import('#webtransport')).WebTransportLeg : WebSocketLeg
      // It may have been given up meanwhile.
      if (this.#legs.has(number)) this.#legs.set(number, new Leg(url, listener, endpoint?.certificate_hashes ?? []))
    } catch (thrown) {
      this.#legs.delete(number)
      failed(thrown)
    }
  }

  #hangUp(number: number, code: number): void {
    const leg = this.#legs.get(number)
    this.#legs.delete(number)
    if (!leg) return
    if (code < 0) return leg.hangUp()
    // Its last words, whatever waits before them.
    for (let frame = this.#machine.transmitLeg(number); frame; frame = this.#machine.transmitLeg(number)) leg.send(frame)
    leg.hangUp(code)
  }

  #make(number: number): void {
    const hear = this.#hear
    try {
      const wire = new Wire(this.#configuration, {
        described: (type, sdp) => hear(() => this.#machine.described(number, type, sdp)),
        accepted: () => hear(() => this.#machine.accepted(number)),
        failed: () => hear(() => this.#machine.attemptFailed(number)),
        candidate: (...it) => hear(() => this.#machine.candidate(number, ...it)),
        changed: () => hear(() => this.#changed(number, wire)),
        room: () => hear(() => {}),
        frame: (bytes) =>
          hear(() => {
            this.received.add(bytes.length, clock())
            this.#machine.takeDirect(number, bytes)
          }),
      })
      this.#wires.set(number, wire)
    } catch {
      // The browser refuses to make one.
      this.#machine.attemptFailed(number)
    }
  }

  /** States that are not in the tables are pending. */
  #changed(number: number, wire: Wire): void {
    const connection = CONNECTIONS.indexOf(wire.state as never)
    const channel = CHANNELS.indexOf(wire.channelState as never)
    this.#machine.changed(number, Math.max(connection, 0), Math.max(channel, 0))
  }

  get #configuration(): RTCConfiguration {
    return { ...this.#own, iceServers: [...(this.#own.iceServers ?? []), ...iceServers(this.session)] }
  }
}
