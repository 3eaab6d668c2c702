// Makes docs/images/page.webp anew: what two people see on a laptop and on a phone after one has sent the other files.
//
// usage: PEERSOX_BINARY=target/debug/peersox node tests/web/picture.mjs     where tests/web/run has passed

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { devices } from 'playwright-core'
import { check, finish, root } from './harness.mjs'
import { direct, done, file, heard, say, showCode, typeCode } from './people.mjs'

const LAPTOP = { viewport: { width: 1000, height: 640 }, deviceScaleFactor: 1.25 }
const PHONE = { ...devices['Pixel 7'], viewport: { width: 360, height: 640 }, deviceScaleFactor: 1.25, locale: 'en' }

await check('picture of the page', async (scope) => {
  const { url } = await scope.server()
  const [laptop, phone] = [await scope.page(url, LAPTOP), await scope.page(url, PHONE)]
  await typeCode(phone, await showCode(laptop))
  await Promise.all([direct(laptop), direct(phone)])
  await say(phone, 'Are these all the photos?')
  await heard(laptop, 'Are these all the photos?')
  const folder = scope.directory()
  const names = ['beach.jpg', 'dunes.jpg', 'lighthouse.jpg']
  const photos = names.map((name, at) => file(folder, name, 2_400_000 + 700_000 * at).path)
  await say(laptop, 'Here they are.')
  await laptop.setInputFiles('#files', photos)
  await phone.getByRole('button', { name: 'Accept' }).click()
  await done(laptop, phone)
  const shots = await Promise.all([laptop, phone].map((page) => page.screenshot({ animations: 'disabled' })))

  const frame = await scope.page('about:blank', { viewport: { width: 1448, height: 688 } })
  await frame.setContent(`<style>
      body { margin: 0; padding: 24px; display: flex; gap: 40px; background: #dcd8ce }
      img { border-radius: 12px; box-shadow: 0 4px 18px #0003; height: 640px }
    </style>${shots.map((shot) => `<img src="data:image/png;base64,${shot.toString('base64')}">`).join('')}`)
  const session = await frame.context().newCDPSession(frame)
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 80 })
  const picture = Buffer.from(data, 'base64')
  writeFileSync(join(root, 'docs/images/page.webp'), picture)
  return `${picture.length} bytes`
})
await finish()
