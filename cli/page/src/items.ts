/** What a conversation is made of. */

import type { Sendable, Transfer } from 'peersox'
import type { KeptSet } from './kept.js'
import type { Destination } from './saving.js'

/** Something that was said, here or there. */
export interface TextItem {
  kind: 'text'
  mine: boolean
  text: string
  at: number
  /** Where it is; of what the other side said always `delivered`. */
  state: 'sending' | 'delivered' | 'lost'
  /** Why it is lost, for people. */
  why: string
}

/** Files that were offered, here or there. */
export interface TransferItem {
  kind: 'transfer'
  mine: boolean
  transfer: Transfer
  /** Where they go; null while nobody has accepted them here. */
  destination: Destination | null
  /** A person here has stopped it: that holds at once, whenever the other side hears of it. */
  isStopped: boolean
  /** What was given to be sent, for another attempt; empty for what is received. */
  given: readonly Sendable[]
  /** Files that have arrived and were not saved. */
  unsaved: number
  at: number
}

/** Something that was said or sent. */
export type Item =
  | TextItem
  | TransferItem
  | { kind: 'note'; text: string; at: number }
  | { kind: 'bytes'; blob: Blob; isSaved: boolean; at: number }
  /** A terminal waits until this side has saved the pairing, too. */
  | { kind: 'asked'; at: number }
  /** Files that arrived before this page was loaded. */
  | { kind: 'kept'; set: KeptSet; at: number }

/** Whether it was said here, and nobody has taken it yet. */
export function isUnheard(item: TextItem): boolean {
  return item.mine && item.state !== 'delivered'
}

/** Whether files are on their way, or will be without another word of this side. */
export function isRunning(item: Item): item is TransferItem {
  if (item.kind !== 'transfer' || item.isStopped) return false
  const { state } = item.transfer
  if (state === 'offered') return item.mine || item.destination !== null
  return state === 'active' || state === 'paused' || state === 'interrupted'
}

/** Whether files wait for an answer of this side. */
export function isAsking(item: Item): item is TransferItem {
  return item.kind === 'transfer' && !item.mine && !item.isStopped && item.destination === null && item.transfer.state === 'offered'
}

/** Whether bytes arrived that nobody has saved. */
export function isUnsaved(item: Item): boolean {
  return (item.kind === 'transfer' && item.unsaved > 0) || (item.kind === 'bytes' && !item.isSaved)
}

/** Whether bytes that nobody has saved are nowhere but in the memory of the page. */
export function isOnlyCopy(item: Item): boolean {
  return isUnsaved(item) && !(item.kind === 'transfer' && item.destination?.kind === 'private')
}

/** Whether nothing is missing: what was said here has arrived, and no transfer is under way or was broken off. */
export function isSettled(item: Item): boolean {
  if (item.kind === 'text') return item.state === 'delivered'
  return item.kind !== 'transfer' || /^(done|declined|cancelled)$/.test(item.transfer.state)
}

/** Whether files were sent or received, and none is missing. */
export function isAllDone(items: readonly Item[]): boolean {
  const transfers = items.filter((it) => it.kind === 'transfer')
  return transfers.some((it) => it.transfer.state === 'done') && transfers.every(isSettled)
}
