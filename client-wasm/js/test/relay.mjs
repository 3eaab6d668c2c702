// A relay in a few lines, for machines and shells in one process: its notices, and two peers whose legs it joins.

import { Told } from '#tables'

const LENGTH = 2
const varint = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))])
const flag = (number, value) => (value ? [number << 3, 1] : [])
const notice = (number, ...fields) => Uint8Array.of(0, (number << 3) | LENGTH, fields.length, ...fields)

/** Frames of the notice lane that a relay sends, as proto/peersox/v1/relay.proto has them. */
export const welcome = ({ peerOnline = false, resumed = false, keepalive = 0 } = {}) => {
  const limits = keepalive ? [6 << 3, ...varint(keepalive)] : []
  return notice(2, ...flag(2, peerOnline), ...flag(3, resumed), (4 << 3) | LENGTH, limits.length, ...limits)
}
export const pong = (nonce) => notice(4, 8, ...varint(nonce))
export const peerOnline = () => notice(5)
export const peerAway = (grace) => notice(6, 8, ...varint(grace))
export const draining = (grace) => notice(7, 8, ...varint(grace))

/** The kinds of notices that a peer sends, by their first byte. */
const KINDS = { 0x0a: 'hello', 0x1a: 'ping' }

/** What a peer said to the relay: `hello`, `ping`; undefined if the frame is for the other peer. */
export const kindOf = (frame) => (frame[0] === 0 ? KINDS[frame[1]] : undefined)

/** The nonce of a ping. */
export const nonceOf = (frame) => {
  let value = 0
  for (let at = 4, unit = 1; at < frame.length; at++, unit *= 128) value += (frame[at] & 127) * unit
  return value
}

/** Two machines at one relay. `hear` is given what each of them tells. */
export class Relay {
  constructor(machines, hear = () => {}) {
    this.peers = machines.map((machine) => ({ machine, leg: undefined, isUp: false, hear: (news) => hear(machine, news) }))
  }

  /** Obeys, and carries frames, until there is nothing more to do. */
  pump() {
    for (let moved = true; moved; ) {
      moved = false
      for (const [from, to] of [this.peers, this.peers.toReversed()]) {
        while (this.#obey(from)) moved = true
        for (let frame; from.leg !== undefined && (frame = from.machine.transmitLeg(from.leg)?.slice()); moved = true) {
          this.#carry(from, to, frame)
        }
      }
    }
  }

  #obey(from) {
    const news = from.machine.poll()
    if (!news) return false
    const { told, a, b } = news
    from.hear(news)
    if (told === Told.OpenSession) from.machine.sessionOpened(a, 1 << 1, -1, 'T.I.C')
    if (told === Told.Connect) from.machine.legConnected((from.leg = a))
    if (told === Told.HangUp && a === from.leg && b < 0) from.leg = undefined
    return true
  }

  #carry(from, to, frame) {
    const kind = kindOf(frame)
    if (kind === 'hello') {
      from.isUp = true
      from.machine.takeLeg(from.leg, welcome({ peerOnline: to.isUp }))
      if (to.isUp) to.machine.takeLeg(to.leg, peerOnline())
    } else if (kind === 'ping') from.machine.takeLeg(from.leg, pong(nonceOf(frame)))
    else if (to.isUp) to.machine.takeLeg(to.leg, frame)
  }
}
