// What the client reads and writes of protobuf, out of the same files that the server is built of.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import parseProto from 'protocol-buffers-schema'

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..')
export const files = ['proto/peersox/v1/pairing.proto', 'client-wasm/js/src/net/status.proto']

/** The messages that the client reads or writes, with those of their fields that it looks at. */
const MESSAGES = {
  CreatePairingRequest: ['secret_bits', 'ephemeral'],
  CreatePairingResponse: ['pairing_id', 'nameplate', 'credential', 'code_expires_at_millis', 'restorable_until_millis'],
  JoinPairingRequest: ['nameplate', 'ephemeral'],
  JoinPairingResponse: ['pairing_id', 'credential', 'restorable_until_millis'],
  GetPairingRequest: ['credential', 'keep'],
  GetPairingResponse: ['joined', 'restorable_until_millis'],
  DeletePairingResponse: [],
  OpenSessionRequest: ['credential', 'unreached_epoch'],
  OpenSessionResponse: ['ticket', 'ticket_expires_at_millis', 'endpoints', 'ice_servers', 'epoch'],
  RelayEndpoint: ['transport', 'url', 'certificate_hashes'],
  IceServer: ['urls', 'username', 'credential'],
  Status: ['details'],
  Any: ['type_url', 'value'],
  ErrorInfo: ['reason'],
  RetryInfo: ['retry_delay'],
  Duration: ['seconds', 'nanos'],
}

/** `Kind` of src/net/protobuf.ts by the types of a `.proto`; enumerations are numbers. */
const KINDS = { int32: 0, int64: 0, uint32: 0, uint64: 0, bool: 1, string: 2, bytes: 3 }
/** In TypeScript, by `Kind`. */
const TYPES = ['number', 'boolean', 'string', 'Uint8Array']

/** A module with the table of each message, as src/net/protobuf.ts takes it. */
export function messages() {
  const shown = (it) => `${it.name}:[${it.tag},${it.kind}${it.repeated ? ',true' : ''}]`
  return tables().map(({ name, fields }) => `export const ${name} = {${fields.map(shown)}}\n`).join('')
}

/** The types of that module. */
export function declarations() {
  const type = ({ kind, repeated }) => {
    if (repeated) return `${TYPES[kind] ?? kind}[]`
    return TYPES[kind] ?? `${kind} | undefined`
  }
  const shown = ({ name, fields }) => {
    const members = fields.map((it) => `${it.name}: ${type(it)}\n`).join('')
    return `export interface ${name} {\n${members}}\nexport const ${name}: Table<${name}>\n`
  }
  const table = "import('../../../client-wasm/js/src/net/protobuf.js').Table<T>"
  return `// Made of ${files.join(', ')} by build/messages.mjs.
declare module '#wire' {
type Table<T> = ${table}
${tables().map(shown).join('')}}
`
}

/** The messages with their fields: name, number, kind. Those that a message holds come before it. */
function tables() {
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
  const found = new Map()
  const add = (name) => {
    if (found.has(name)) return
    const { fields } = find(known, name, files)
    const chosen = MESSAGES[name].map((field) => find(fields, field, name))
    for (const { type } of chosen) if (type in MESSAGES) add(type)
    found.set(name, { name, fields: chosen.map((it) => ({ name: it.name, tag: it.tag, kind: kindOf(it), repeated: it.repeated })) })
  }
  for (const name of Object.keys(MESSAGES)) add(name)
  return [...found.values()]
}
