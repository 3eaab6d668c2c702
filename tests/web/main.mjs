// See tests/web/run.

import { apiChecks } from './api.mjs'
import { finish } from './harness.mjs'
import { packageChecks } from './package.mjs'
import { pageChecks } from './page.mjs'

try {
  await packageChecks()
  await apiChecks()
  await pageChecks()
} finally {
  await finish()
}
