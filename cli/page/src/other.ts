/**
 * The other side, by what it says of itself: what to call it, and what it takes. A person may name it otherwise.
 *
 * The command line names its command in the hello, as in `peersox/0.1.0 (pair)`. Older ones name none, nor do those
 * of a saved device, of which several run at a time.
 */

import { cleanName } from './text.js'

const PROGRAM = /^peersox\//

/** See the module. */
export class Other {
  readonly #hello: string
  readonly #name: string

  /** `hello` is its own word; `name` that of the person here, empty if there is none. */
  constructor(hello: string | null, name: string) {
    this.#hello = hello ?? ''
    this.#name = name
  }

  /** The name that it gives itself, which anybody may choose; empty if it has none. Of the command line `peersox 0.1.0`. */
  get ownName(): string {
    const hello = this.isProgram ? this.#hello.replace(/ \(.*/, '').replace(PROGRAM, 'peersox ') : this.#hello
    return cleanName(hello)
  }

  /** What to call it within a sentence. A name in quotes is its own word; without, that of the person here. */
  get name(): string {
    return this.#name || (this.isProgram ? 'the terminal' : this.ownName ? `“${this.ownName}”` : 'the other device')
  }

  /** The same as a heading, and at the beginning of a sentence. */
  get title(): string {
    return this.#name || this.name.replace(/^the/, 'The')
  }

  /** What to save it as, unless a person knows better. */
  get suggestedName(): string {
    return this.#name || (this.isProgram ? 'Terminal' : this.ownName)
  }

  /** Whether it is the command line. */
  get isProgram(): boolean {
    return PROGRAM.test(this.#hello)
  }

  /** The command that runs there; empty if it is none, or says none. */
  get command(): string {
    return this.isProgram ? (/ \((.+)\)$/.exec(this.#hello)?.[1] ?? '') : ''
  }

  /** Whether it may wait for a pipe, by which it reads messages. */
  get mayReadPipe(): boolean {
    return this.isProgram && ['', 'connect'].includes(this.command)
  }

  /** Whether it may take files. */
  get takesFiles(): boolean {
    return ['', 'receive'].includes(this.command)
  }
}
