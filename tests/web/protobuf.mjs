// The client's own reader and writer of protobuf against another one, `pbf`, on generated messages.

import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { PbfReader, PbfWriter } from 'pbf'
import { compileRaw } from 'pbf/compile'
import { files, messages } from '../../client-wasm/js/build/messages.mjs'
import { equal } from './embed.mjs'
import { check, root } from './harness.mjs'

const js = join(root, 'client-wasm/js')
const require = createRequire(join(js, 'package.json'))
const { build } = require('esbuild')
const parseProto = require('protocol-buffers-schema')

const ROUNDS = 5_000
const TEXTS = ['', 'a', 'ö€😀', 'x'.repeat(127), 'ß'.repeat(100), 'long'.repeat(4_100)]
const NUMBERS = [0, 1, 127, 128, 16_383, 16_384, 2 ** 31 - 1]
const LARGE = [...NUMBERS, 2 ** 32, 1_700_000_000_000, 2 ** 53 - 1]
const BYTES = [[], [0], [255, 0, 127], Array.from({ length: 300 }, (_, at) => at % 256)].map((it) => Uint8Array.from(it))

export async function protobufChecks() {
  await check('protobuf: messages are read and written as by another implementation', async (scope) => {
    const { schema, ours, theirs } = await both(scope.directory())
    const random = generator()
    for (let round = 0; round < ROUNDS; round++) {
      const name = random(Object.keys(ours.wire))
      const table = ours.wire[name]
      const bytes = theirs.write(name, invented(schema, name, random))
      const read = ours.decode(table, bytes)
      const expected = shown(table, theirs.read(name, bytes))
      if (shown(table, read) !== expected) throw new Error(`${name} is read in another way: ${hex(bytes)}`)
      const again = theirs.read(name, ours.encode(table, read))
      if (shown(table, again) !== expected) throw new Error(`${name} is written in another way: ${hex(bytes)}`)
    }
  })

  await check('protobuf: what is cut short is no message, and what is damaged harms nobody', async (scope) => {
    const { schema, ours, theirs } = await both(scope.directory())
    const random = generator()
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = theirs.write('IceServer', invented(schema, 'IceServer', random))
      const at = random(bytes.length + 1)
      // Between two fields an end is an end: then that much is what would have been written.
      const cut = ours.decode(ours.wire.IceServer, bytes.slice(0, at))
      if (cut) equal(hex(theirs.write('IceServer', cut)), hex(bytes.slice(0, at)), `cut at ${at}`)
      if (bytes.length > 0) bytes[random(bytes.length)] ^= 1 << random(8)
      for (const table of Object.values(ours.wire)) ours.decode(table, bytes)
    }
    for (const byte of [127, 255]) equal(ours.decode(ours.wire.Status, new Uint8Array(1 << 20).fill(byte)), undefined, `${byte}s`)
  })
}

/** Both implementations, made of the same files. */
async function both(directory) {
  const contents = "export * from './src/net/protobuf.ts'; export * as wire from '#wire'"
  const wire = {
    name: 'wire',
    setup(it) {
      it.onResolve({ filter: /^#wire$/ }, () => ({ path: 'wire', namespace: 'wire' }))
      it.onLoad({ filter: /.*/, namespace: 'wire' }, () => ({ contents: messages() }))
    },
  }
  const options = { stdin: { contents, resolveDir: js }, outfile: join(directory, 'ours.mjs'), plugins: [wire] }
  await build({ ...options, bundle: true, format: 'esm' })
  const schemas = files.map((file) => parseProto(readFileSync(join(root, file), 'utf8')))
  const [all, enums] = ['messages', 'enums'].map((kind) => schemas.flatMap((it) => it[kind]))
  writeFileSync(join(directory, 'theirs.mjs'), compileRaw({ ...schemas[0], imports: [], messages: all, enums }))
  const load = (file) => import(pathToFileURL(join(directory, file)))
  const [ours, functions] = [await load('ours.mjs'), await load('theirs.mjs')]
  const theirs = {
    read: (name, bytes) => functions[`read${name}`](new PbfReader(bytes)),
    write: (name, message) => {
      const writer = new PbfWriter()
      functions[`write${name}`](message, writer)
      return writer.finish()
    },
  }
  return { schema: new Map(all.map((it) => [it.name, it])), ours, theirs }
}

/** A message with every field of its schema, also those that the client does not know; some are missing. */
function invented(schema, name, random) {
  const one = (type) =>
    type === 'string' ? random(TEXTS)
    : type === 'bytes' ? random(BYTES)
    : type === 'bool' ? random([false, true])
    : schema.has(type) ? invented(schema, type, random)
    : random(type.endsWith('64') ? LARGE : NUMBERS)
  const fields = schema.get(name).fields.filter(() => random(4) > 0)
  const value = ({ type, repeated }) => (repeated ? Array.from({ length: random(4) }, () => one(type)) : one(type))
  return Object.fromEntries(fields.map((it) => [it.name, value(it)]))
}

/** The fields of a table, of what either has read. */
function shown(table, message) {
  const one = (kind, value) => (typeof kind === 'object' ? value && JSON.parse(shown(kind, value)) : value)
  const rows = Object.entries(table).map(([name, [, kind, isRepeated]]) => {
    const value = message[name]
    if (kind === 3) return [name, hex(value ?? [])]
    return [name, isRepeated ? value.map((it) => one(kind, it)) : one(kind, value)]
  })
  return JSON.stringify(Object.fromEntries(rows))
}

function hex(bytes) {
  return Buffer.from(bytes).toString('hex')
}

/** Chooses the same each time: below a number, or one of a list. */
function generator() {
  let state = 1
  return (from) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return typeof from === 'number' ? Math.floor((state / 2 ** 32) * from) : from[Math.floor((state / 2 ** 32) * from.length)]
  }
}
