/** The page that `peersox serve` shows: two devices meet, talk, and send each other files. */

import { App } from './app.js'
import { keepOffline, offerInstalling, watchServer } from './offline.js'

const main = document.getElementById('main')

if (main) {
  const app = new App(main)
  void app.start()
  keepOffline(() => app.isBusy)
}
offerInstalling()
watchServer()
