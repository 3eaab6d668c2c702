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
import { packageChecks } from './package.mjs'
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

try {
  await packageChecks()
  await protobufChecks()
  await webSysChecks()
  await rustChecks()
  await nodeChecks()
  await apiChecks()
  await apiLifeChecks()
  await apiFaultChecks()
  await exampleChecks()
  await hostileChecks()
  await keptChecks()
  await pathChecks()
  await relayChecks()
  await pageChecks()
  await pageFileChecks()
  await pageReturnChecks()
  await pageTrustChecks()
  await pageStateChecks()
  await pageTerminalChecks()
  await apartChecks()
  await restartChecks()
} finally {
  await finish()
}
