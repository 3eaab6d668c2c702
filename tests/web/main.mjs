// See tests/web/run.

import { apiFaultChecks } from './api-faults.mjs'
import { apiLifeChecks } from './api-life.mjs'
import { apiChecks } from './api.mjs'
import { apartChecks } from './apart.mjs'
import { exampleChecks } from './examples.mjs'
import { finish } from './harness.mjs'
import { hostileChecks } from './hostile.mjs'
import { keptChecks } from './kept.mjs'
import { nodeChecks } from './node.mjs'
import { operatorChecks } from './operator.mjs'
import { packageChecks } from './package.mjs'
import { pageAppChecks } from './page-app.mjs'
import { pageDirectChecks } from './page-direct.mjs'
import { pageFileChecks } from './page-files.mjs'
import { pageReturnChecks } from './page-return.mjs'
import { pageStateChecks } from './page-states.mjs'
import { pageTerminalChecks } from './page-terminal.mjs'
import { pageTrustChecks } from './page-trust.mjs'
import { pageChecks } from './page.mjs'
import { pathChecks } from './paths.mjs'
import { protobufChecks } from './protobuf.mjs'
import { relayChecks } from './relay.mjs'
import { restartChecks } from './restart.mjs'
import { rustChecks } from './rust.mjs'
import { webSysChecks } from './web-sys.mjs'
import { webTransportChecks } from './webtransport.mjs'

// Checks wait more than they compute: those of the package and those of the page go on side by side.
const clients = [
  packageChecks,
  protobufChecks,
  webSysChecks,
  rustChecks,
  nodeChecks,
  operatorChecks,
  apiChecks,
  apiLifeChecks,
  apiFaultChecks,
  exampleChecks,
  hostileChecks,
  keptChecks,
  pathChecks,
  relayChecks,
  webTransportChecks,
  apartChecks,
  restartChecks,
]
const pages = [pageFileChecks, pageStateChecks, pageTrustChecks, pageChecks, pageAppChecks, pageTerminalChecks, pageDirectChecks, pageReturnChecks]

try {
  const inTurn = async (groups) => {
    for (const group of groups) await group()
  }
  await Promise.all([clients, pages].map(inTurn))
} finally {
  await finish()
}
