export { PeerSoxClient, PeerSoxClient as default, type Datagrams } from './client.js'
export { Channel, type ChannelEvents } from './channel.js'
export { Emitter, type Listener } from './emitter.js'
export * from './errors.js'
export { IncomingTransfer, type AcceptOptions } from './incoming.js'
export { OutgoingTransfer } from './outgoing.js'
export { directorySink, memorySink, streamSink, type FileWriter, type MemorySink, type TransferSink } from './sinks.js'
export type { NamedData, Sendable } from './sources.js'
export { SUPPORTS } from './supports.js'
export {
  Transfer,
  type TransferEntry,
  type TransferEvents,
  type TransferProgress,
  type TransferState,
} from './transfer.js'
export type * from './types.js'
