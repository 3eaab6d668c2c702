/** The browser client of PeerSox. @packageDocumentation */

export { PeerSoxClient, type Datagrams } from './client.js'
export { Channel, type ChannelEvents } from './channel.js'
export type { Emitter, Listener } from './emitter.js'
export * from './errors.js'
export * from './transfer.js'
export * from './types.js'
