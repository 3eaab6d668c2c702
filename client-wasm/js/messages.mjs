// What the client reads and writes of protobuf, out of the same files that the server is built of.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileRaw } from 'pbf/compile'
import parseProto from 'protocol-buffers-schema'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

/** What the client reads, and what it writes: messages with those of their fields that it looks at. */
const READS = {
  CreatePairingResponse: ['pairing_id', 'nameplate', 'credential', 'code_expires_at_millis', 'restorable_until_millis'],
  JoinPairingResponse: ['pairing_id', 'credential', 'restorable_until_millis'],
  GetPairingResponse: [],
  DeletePairingResponse: [],
  WatchPairingResponse: ['event'],
  OpenSessionResponse: ['ticket', 'endpoints', 'ice_servers'],
  RelayEndpoint: ['transport', 'url'],
  IceServer: ['urls', 'username', 'credential'],
  Notice: ['welcome', 'pong', 'peer_online', 'peer_away', 'draining', 'datagrams_dropped'],
  Welcome: ['peer_online', 'resumed', 'limits'],
  RelayLimits: ['keepalive_millis'],
  Pong: ['nonce'],
  PeerOnline: [],
  PeerAway: ['grace_millis'],
  Draining: [],
  DatagramsDropped: ['count'],
  Signal: ['description', 'candidate', 'attempt'],
  SessionDescription: ['type', 'sdp'],
  IceCandidate: ['candidate', 'sdp_mid', 'sdp_mline_index', 'username_fragment'],
  Status: ['details'],
  Any: ['type_url', 'value'],
  ErrorInfo: ['reason'],
  RetryInfo: ['retry_delay'],
  Duration: ['seconds', 'nanos'],
}
const WRITES = {
  JoinPairingRequest: ['nameplate'],
  GetPairingRequest: ['credential'],
  Notice: ['hello', 'ping'],
  Hello: ['ticket', 'agent'],
  Ping: ['nonce'],
  Signal: READS.Signal,
  SessionDescription: READS.SessionDescription,
  IceCandidate: READS.IceCandidate,
}

/** Functions that read and write the messages of the wire, as a module. */
export function messages() {
  const files = ['proto/peersox/v1/pairing.proto', 'proto/peersox/v1/relay.proto', 'client-wasm/js/src/status.proto']
  const schemas = files.map((file) => parseProto(readFileSync(join(root, file), 'utf8')))
  const every = (kind) => schemas.flatMap((schema) => schema[kind])
  const find = (list, name, where) => {
    const found = list.find((it) => it.name === name)
    if (!found) throw new Error(`there is no ${name} in ${where}`)
    return found
  }
  const only = (wanted) => ({
    ...schemas[0],
    imports: [],
    enums: every('enums'),
    messages: Object.entries(wanted).map(([name, fields]) => {
      const message = find(every('messages'), name, files)
      return { ...message, fields: fields.map((field) => find(message.fields, field, name)) }
    }),
  })
  const enums = /^export const .*?^};?$/gms
  return [compileRaw(only(READS), { noWrite: true }), compileRaw(only(WRITES), { noRead: true }).replace(enums, '')].join('')
}

/**
 * The library that these functions call, without the methods that nobody calls: a bundler cannot take them out of a
 * class. A method is kept if its name is in `users`, in this client, or in what else is kept.
 */
export function withoutUnused(path, users) {
  const library = readFileSync(path, 'utf8')
  const method = /^ {4}(\w+)\([^\n]*\) \{\n.*?^ {4}\}\n/gms
  const isOptional = (name) => name !== 'constructor' && name !== 'finish'
  let text = library
  for (;;) {
    const seen = users + text
    const shorter = text.replace(method, (whole, name) => {
      const calls = seen.split(new RegExp(`\\.${name}\\(`)).length - whole.split(new RegExp(`\\.${name}\\(`)).length
      return isOptional(name) && calls === 0 ? '' : whole
    })
    if (shorter.length === text.length) break
    text = shorter
  }
  if (text.length === library.length) throw new Error('pbf is written in another way than this expects')
  return text
}
