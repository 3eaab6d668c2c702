// For the bundler: what is made of client-wasm/engine.ops (`#ops`, `#tables`) and of proto/ (`#wire`).

import { messages } from './messages.mjs'
import * as ops from './ops.mjs'

/** A plugin of esbuild. */
export function generated() {
  return {
    name: 'generated',
    setup(it) {
      it.onResolve({ filter: /^#(ops|tables|wire)$/ }, ({ path }) => ({ path, namespace: 'generated', sideEffects: false }))
      const operations = { contents: ops.operations(), resolveDir: ops.resolveDir, loader: 'ts' }
      it.onLoad({ filter: /^#ops$/, namespace: 'generated' }, () => operations)
      it.onLoad({ filter: /^#tables$/, namespace: 'generated' }, () => ({ contents: ops.tables(), loader: 'ts' }))
      it.onLoad({ filter: /^#wire$/, namespace: 'generated' }, () => ({ contents: messages() }))
    },
  }
}
