// What the client reads and writes of protobuf, out of the same files that the server is built of.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import parseProto from 'protocol-buffers-schema'

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..')
export const files = ['proto/peersox/v1/pairing.proto', 'proto/peersox/v1/relay.proto', 'client-wasm/js/src/net/status.proto']

/** The messages that the client reads or writes, with those of their fields that it looks at. */
const MESSAGES = {
  CreatePairingResponse: ['pairing_id', 'nameplate', 'credential', 'code_expires_at_millis', 'restorable_until_millis'],
  JoinPairingRequest: ['nameplate'],
  JoinPairingResponse: ['pairing_id', 'credential', 'restorable_until_millis'],
  GetPairingRequest: ['credential'],
  GetPairingResponse: [],
  DeletePairingResponse: [],
  WatchPairingResponse: ['event'],
  OpenSessionResponse: ['ticket', 'ticket_expires_at_millis', 'endpoints', 'ice_servers'],
  RelayEndpoint: ['transport', 'url'],
  IceServer: ['urls', 'username', 'credential'],
  Notice: ['hello', 'welcome', 'ping', 'pong', 'peer_online', 'peer_away', 'draining', 'datagrams_dropped'],
  Hello: ['ticket', 'agent'],
  Welcome: ['peer_online', 'resumed', 'limits'],
  RelayLimits: ['keepalive_millis'],
  Ping: ['nonce'],
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

/** `Kind` of src/net/protobuf.ts by the types of a `.proto`; enumerations are numbers. */
const KINDS = { int32: 0, int64: 0, uint32: 0, uint64: 0, bool: 1, string: 2, bytes: 3 }

/** A module with the table of each message, as src/net/protobuf.ts takes it. */
export function messages() {
  const schemas = files.map((file) => parseProto(readFileSync(join(root, file), 'utf8')))
  const [known, enums] = ['messages', 'enums'].map((kind) => schemas.flatMap((schema) => schema[kind]))
  const find = (list, name, where) => {
    const found = list.find((it) => it.name === name)
    if (!found) throw new Error(`there is no ${name} in ${where}`)
    return found
  }
  const kindOf = ({ name, type, repeated, map }) => {
    if (type in MESSAGES) return type
    const kind = enums.some((it) => it.name === type) ? 0 : KINDS[type]
    // Several numbers may come packed, which src/net/protobuf.ts does not know.
    if (kind === undefined || map || (repeated && kind < 2)) throw new Error(`src/net/protobuf.ts cannot read ${name}`)
    return kind
  }
  const tables = new Map()
  const add = (name) => {
    if (tables.has(name)) return
    const { fields } = find(known, name, files)
    const chosen = MESSAGES[name].map((field) => find(fields, field, name))
    // Those that it holds come first.
    for (const { type } of chosen) if (type in MESSAGES) add(type)
    const rows = chosen.map((it) => `${it.name}:[${it.tag},${kindOf(it)}${it.repeated ? ',true' : ''}]`)
    tables.set(name, `export const ${name} = {${rows}}\n`)
  }
  for (const name of Object.keys(MESSAGES)) add(name)
  return [...tables.values()].join('')
}
