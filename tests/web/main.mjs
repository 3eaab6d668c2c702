// See tests/web/run.

import { apiFaultChecks } from './api-faults.mjs'
import { apiLifeChecks } from './api-life.mjs'
import { apiChecks } from './api.mjs'
import { exampleChecks } from './examples.mjs'
import { finish } from './harness.mjs'
import { hostileChecks } from './hostile.mjs'
import { keptChecks } from './kept.mjs'
import { nodeChecks } from './node.mjs'
import { packageChecks } from './package.mjs'
import { pageFileChecks } from './page-files.mjs'
import { pageReturnChecks } from './page-return.mjs'
import { pageStateChecks } from './page-states.mjs'
import { pageTrustChecks } from './page-trust.mjs'
import { pageChecks } from './page.mjs'
import { pathChecks } from './paths.mjs'
import { protobufChecks } from './protobuf.mjs'
import { relayChecks } from './relay.mjs'
import { rustChecks } from './rust.mjs'
import { webSysChecks } from './web-sys.mjs'

/** Two halves, which tests/web/run runs side by side: the page, and everything that people build on. */
const HALVES = {
  page: [pageChecks, pageFileChecks, pageReturnChecks, pageTrustChecks, pageStateChecks],
  package: [
    packageChecks,
    protobufChecks,
    webSysChecks,
    rustChecks,
    nodeChecks,
    apiChecks,
    apiLifeChecks,
    apiFaultChecks,
    exampleChecks,
    hostileChecks,
    keptChecks,
    pathChecks,
    relayChecks,
  ],
}

const half = process.env.PEERSOX_HALF
try {
  for (const checks of half ? HALVES[half] : Object.values(HALVES).flat()) await checks()
} finally {
  await finish()
}
