// Gives what a module of WebAssembly imports and exports short names, in the module and in its glue alike. Those that the
// generator makes are long, hold hashes that do not compress, and are downloaded twice. What a module imports it imports
// from `build`, so that it does not start with the glue of another one.

/**
 * `glue` is the text of the file between the module and the sources, `kept` are names that the sources use.
 * What the glue uses in another way than generated glue does stays as it is.
 */
export function withShortNames(wasm, glue, kept, build) {
  const module = new WebAssembly.Module(wasm)
  const names = shortNames([...kept, ...glue.match(/[\w$]+/g)])
  let text = glue
  const shorten = (list, use) => {
    const found = list.map(({ name }) => name).filter((name) => !kept.has(name) && use(name).test(text))
    return new Map(
      found.map((name) => {
        const short = names.next().value
        text = text.replace(use(name), (_, before) => before + short)
        return [name, short]
      }),
    )
  }
  const imported = shorten(WebAssembly.Module.imports(module), (name) => RegExp(`(export function )${name}\\b`, 'g'))
  const exported = shorten(WebAssembly.Module.exports(module), (name) => RegExp(`(\\bwasm\\.)${name}\\b`, 'g'))
  return { wasm: renamed(wasm, imported, exported, build), glue: text }
}

/** The module with other names; what is not in the maps keeps its own. */
function renamed(wasm, imported, exported, build) {
  const parts = [wasm.subarray(0, HEADER)]
  let at = HEADER
  const number = () => {
    let value = 0
    for (let unit = 1; ; unit *= 128) {
      const byte = wasm[at++]
      value += (byte & 127) * unit
      if (byte < 128) return value
    }
  }
  const take = (length) => {
    at += length
    return wasm.subarray(at - length, at)
  }
  while (at < wasm.length) {
    const id = wasm[at++]
    const size = number()
    if (id !== IMPORTS && id !== EXPORTS) {
      parts.push(Buffer.of(id), encoded(size), take(size))
      continue
    }
    const count = number()
    const rows = [encoded(count)]
    const names = id === IMPORTS ? imported : exported
    for (let row = 0; row < count; row++) {
      // An import names its module first.
      if (id === IMPORTS) {
        take(number())
        rows.push(string(build))
      }
      const name = take(number()).toString()
      const kind = wasm[at++]
      if (id === IMPORTS && kind !== FUNCTION) throw new Error(`${name} is imported and no function`)
      rows.push(string(names.get(name) ?? name), Buffer.of(kind), encoded(number()))
    }
    const body = Buffer.concat(rows)
    parts.push(Buffer.of(id), encoded(body.length), body)
  }
  return Buffer.concat(parts)
}

function string(text) {
  return Buffer.concat([encoded(Buffer.byteLength(text)), Buffer.from(text)])
}

function encoded(number) {
  const bytes = []
  for (; number > 127; number >>>= 7) bytes.push((number & 127) | 128)
  return Buffer.from([...bytes, number])
}

/** Names of a letter and then of two that are not taken. */
function* shortNames(taken) {
  const letters = [...'abcdefghijklmnopqrstuvwxyz']
  for (const name of [...letters, ...letters.flatMap((one) => letters.map((two) => one + two))]) {
    if (!taken.includes(name)) yield name
  }
}

/** Bytes before the first section; sections and kinds of imports, as WebAssembly numbers them. */
const HEADER = 8
const IMPORTS = 2
const EXPORTS = 7
const FUNCTION = 0
