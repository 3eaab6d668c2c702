// Writes the types of what is made by the build, for the compiler: target/web/generated/{ops,wire}.d.ts.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as messages from './messages.mjs'
import * as ops from './ops.mjs'

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../../target/web/generated')

export function declare() {
  mkdirSync(folder, { recursive: true })
  for (const [name, made] of Object.entries({ ops, wire: messages })) {
    writeFileSync(join(folder, `${name}.d.ts`), made.declarations())
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) declare()
