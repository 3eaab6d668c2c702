// What crosses between the engine and its shell, out of the same file that Rust is made of: client-wasm/engine.ops.
//
//   #ops     a class with a method for each operation of a machine, and a function for each other one
//   #tables  an enumeration for each other kind of row
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
  const kinds = { op: [], told: [], fault: [], ask: [], why: [], cancel: [] }
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
      if (count(row.takes, NUMBERS) > (kind === 'op' ? 2 : 3) || count(row.takes, DATA) > 1) fail('it takes too much')
      if (count(row.gives, NUMBERS) > 3 || count(row.gives, DATA) > 1) fail('it gives too much')
      kinds[kind].push(row)
      docs = []
    }
  })
  return kinds
}

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
  const { op: _, fault, ...others } = rows()
  const enums = Object.entries(others).map(([kind, list]) => enumeration('const enum', kind, list))
  return `${enums.join('\n')}\nexport const FAULTS = ${JSON.stringify(fault.map((it) => it.value))}\n`
}

/** `#ops` */
export function operations() {
  const { op } = rows()
  const numbered = op.map((row, number) => ({ ...row, number }))
  const statics = numbered.filter((it) => it.isStatic).map((it) => `export function ${camel(it.name)}${method(it)}`)
  const methods = numbered.filter((it) => !it.isStatic).map((it) => `${camel(it.name)}${method(it)}`)
  return `import { call, lent, reply, toText, utf8 } from './door.js'
${statics.join('\n')}
export class Operations {
constructor(machine) { this.machine = machine }
${methods.join('\n')}
}
`
}

/** The parameters and the body of an operation. */
function method({ number, takes, gives, isStatic, isOptional, isRecord }) {
  const given = takes.map(({ name, shape }) => (shape === 'flag' ? `Number(${name})` : shape === 'text' ? `utf8(${name})` : name))
  const numbers = given.filter((_, at) => NUMBERS.includes(takes[at].shape))
  const [data] = given.filter((_, at) => DATA.includes(takes[at].shape))
  if (data) while (numbers.length < 2) numbers.push('0')
  const called = `call(${[isStatic ? '0' : 'this.machine', number, ...numbers, ...(data ? [data] : [])].join(', ')})`
  let at = 0
  const got = gives.map(({ name, shape }) => {
    const value = DATA.includes(shape) ? 'lent()' : at === 0 ? 'it' : `reply[${at}]`
    if (NUMBERS.includes(shape)) at++
    return [name, shape === 'flag' ? `${value} > 0` : shape === 'text' ? 'toText(lent())' : value]
  })
  const result = isRecord ? `{ ${got.map((it) => it.join(': ')).join(', ')} }` : got[0]?.[1]
  const missing = isOptional ? 'if (it < 0) return; ' : ''
  const body = result ? `const it = ${called}; ${missing}return ${result}` : called
  return `(${takes.map((it) => it.name).join(', ')}) { ${body} }`
}

/** The types of both modules. */
export function declarations() {
  const { op, fault, ...others } = rows()
  const enums = Object.entries(others).map(([kind, list]) => enumeration('enum', kind, list))
  const signature = ({ docs, name, takes, gives, isOptional, isRecord }) => {
    const type = (it) => (it.shape === 'bytes' ? 'Uint8Array<ArrayBuffer>' : TYPES[it.shape])
    const result = isRecord ? `{ ${gives.map((it) => `${it.name}: ${type(it)}`).join('; ')} }` : gives[0] ? type(gives[0]) : 'void'
    const parameters = takes.map((it) => `${it.name}: ${TYPES[it.shape]}`).join(', ')
    return `/** ${docs} */\n${camel(name)}(${parameters}): ${result}${isOptional ? ' | undefined' : ''}`
  }
  const statics = op.filter((it) => it.isStatic).map((it) => signature(it).replace('\n', '\nexport function '))
  const values = fault.map((it) => JSON.stringify(it.value))
  return `// Made of client-wasm/engine.ops by build/ops.mjs.
declare module '#tables' {
${enums.join('\n')}
/** The codes of failures in the order of their numbers. */
export const FAULTS: readonly [${values.join(', ')}]
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
