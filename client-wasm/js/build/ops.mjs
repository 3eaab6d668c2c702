// What crosses between the engine and its shell, out of the same file that Rust is made of: client-wasm/engine.ops.
//
//   #ops     a class with a method for each operation of a machine, and a function for each other one
//   #tables  an enumeration for each other kind of row, and a list of the texts for one whose rows have texts
//
// operations() and tables() are these modules, as TypeScript for the bundler; declarations() are their types for the
// compiler.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const table = join(here, '../../engine.ops')
/** `door.ts` is what the generated methods call. */
export const resolveDir = join(here, '../src/net')

/** The rows of the table by their kinds; those of a kind are numbered from 0. */
export function rows(text = readFileSync(table, 'utf8')) {
  const kinds = Object.fromEntries(KINDS.map((kind) => [kind, []]))
  let docs = []
  text.split('\n').forEach((line, at) => {
    const fail = (why) => {
      throw new Error(`engine.ops, line ${at + 1}: ${why}: ${line}`)
    }
    if (line.startsWith('///')) docs.push(line.slice(3).trim())
    else if (line !== '' && !line.startsWith('//')) {
      const [, isStatic, kind, name, takes, gives, value] = line.match(ROW) ?? fail('no row')
      if (!kinds[kind]) fail('no kind')
      const row = { name, docs: docs.join(' '), isStatic: isStatic !== undefined, value }
      row.takes = fields(takes ?? '', fail)
      row.isOptional = gives?.endsWith('?') ?? false
      const shape = gives?.replace(/\?$/, '') ?? ''
      row.isRecord = shape.startsWith('(')
      row.gives = fields(row.isRecord ? shape.slice(1, -1) : shape && `it: ${shape}`, fail)
      if (count(row.takes, NUMBERS) > 3) fail('it takes too much')
      if (count(row.gives, NUMBERS) > 4 || count(row.gives, DATA) > 1) fail('it gives too much')
      kinds[kind].push(row)
      docs = []
    }
  })
  return kinds
}

const KINDS = ['op', 'told', 'end', 'cause', 'mode', 'connection', 'channel', 'fault', 'ask', 'why', 'cancel']
const ROW = /^(static )?(\w+) (\w+)(?:\(([^)]*)\))?(?: -> (.+?))?(?: = ([\w-]+))?$/
const NUMBERS = ['number', 'flag']
const DATA = ['text', 'bytes']
const TYPES = { number: 'number', flag: 'boolean', text: 'string', bytes: 'Uint8Array' }

function fields(list, fail) {
  if (list === '') return []
  return list.split(', ').map((it) => {
    const [, name, shape] = it.match(/^(\w+): (number|flag|text|bytes)$/) ?? fail('no shape')
    return { name, shape }
  })
}

function count(list, shapes) {
  return list.filter((it) => shapes.includes(it.shape)).length
}

/** `#tables` */
export function tables() {
  const { op: _, ...others } = rows()
  return Object.entries(others).map(([kind, list]) => `${enumeration('const enum', kind, list)}\n${texts(kind, list)}`).join('\n')
}

/** The texts of the rows, in the order of their numbers: `ENDS` of `end`. */
function texts(kind, list) {
  if (list[0]?.value === undefined) return ''
  return `export const ${kind.toUpperCase()}S = ${JSON.stringify(list.map((it) => it.value))}\n`
}

/** `#ops` */
export function operations() {
  const { op } = rows()
  const numbered = op.map((row, number) => ({ ...row, number }))
  const statics = numbered.filter((it) => it.isStatic).map((it) => `export function ${camel(it.name)}${method(it)}`)
  const methods = numbered.filter((it) => !it.isStatic).map((it) => `${camel(it.name)}${method(it)}`)
  return `import * as door from './door.js'
${statics.join('\n')}
export class Operations {
constructor(machine) { this.machine = machine }
${methods.join('\n')}
}
`
}

/** The parameters and the body of an operation. */
function method({ number, takes, gives, isStatic, isOptional, isRecord }) {
  const given = takes.map(({ name, shape }) => (shape === 'flag' ? `Number(${name})` : shape === 'text' ? `door.utf8(${name})` : name))
  const numbers = given.filter((_, at) => NUMBERS.includes(takes[at].shape))
  const data = given.filter((_, at) => DATA.includes(takes[at].shape))
  if (data.length > 0) while (numbers.length < 3) numbers.push('0')
  const bytes = data.length > 1 ? [`door.joined(${data.join(', ')})`] : data
  const called = `door.call(${[isStatic ? '0' : 'this.machine', number, ...numbers, ...bytes].join(', ')})`
  let at = 0
  const got = gives.map(({ name, shape }) => {
    const value = DATA.includes(shape) ? 'door.lent()' : at === 0 ? 'it' : `door.reply[${at}]`
    if (NUMBERS.includes(shape)) at++
    return [name, shape === 'flag' ? `${value} > 0` : shape === 'text' ? 'door.toText(door.lent())' : value]
  })
  const result = isRecord ? `{ ${got.map((it) => it.join(': ')).join(', ')} }` : got[0]?.[1]
  const missing = isOptional ? 'if (it < 0) return; ' : ''
  const body = result ? `const it = ${called}; ${missing}return ${result}` : called
  return `(${takes.map((it) => it.name).join(', ')}) { ${body} }`
}

/** The types of both modules. */
export function declarations() {
  const { op, ...others } = rows()
  const enums = Object.entries(others).map(([kind, list]) => {
    const type = `export const ${kind.toUpperCase()}S: readonly [${list.map((it) => JSON.stringify(it.value)).join(', ')}]`
    const values = list[0]?.value === undefined ? '' : `\n/** Their texts in the order of their numbers. */\n${type}`
    return enumeration('enum', kind, list) + values
  })
  const signature = ({ docs, name, takes, gives, isOptional, isRecord }) => {
    const type = (it) => (it.shape === 'bytes' ? 'Uint8Array<ArrayBuffer>' : TYPES[it.shape])
    const result = isRecord ? `{ ${gives.map((it) => `${it.name}: ${type(it)}`).join('; ')} }` : gives[0] ? type(gives[0]) : 'void'
    const parameters = takes.map((it) => `${it.name}: ${TYPES[it.shape]}`).join(', ')
    return `/** ${docs} */\n${camel(name)}(${parameters}): ${result}${isOptional ? ' | undefined' : ''}`
  }
  const statics = op.filter((it) => it.isStatic).map((it) => signature(it).replace('\n', '\nexport function '))
  return `// Made of client-wasm/engine.ops by build/ops.mjs.
declare module '#tables' {
${enums.join('\n')}
}
declare module '#ops' {
${statics.join('\n')}
/** The operations of one machine. */
export class Operations {
constructor(machine: number)
${op.filter((it) => !it.isStatic).map(signature).join('\n')}
}
}
`
}

function enumeration(keyword, kind, list) {
  const name = kind[0].toUpperCase() + kind.slice(1)
  const members = list.map((it, number) => {
    const takes = it.takes.map(({ name, shape }) => `${name}: ${shape}`).join(', ')
    return `/** ${it.docs}${takes && ` (${takes})`} */\n${it.name} = ${number},`
  })
  return `export ${keyword} ${name} {\n${members.join('\n')}\n}`
}

function camel(name) {
  return name[0].toLowerCase() + name.slice(1)
}
