// Two people pair by a code and send each other files. `peersox send` and `peersox receive` can be the other side, too.

import { memorySink } from 'peersox'
import { element, meet, tell } from '../meet.js'

const [choose, transfers] = ['choose', 'transfers'].map(element)
const peersox = meet(choose)

choose.querySelector('input').onchange = async ({ target }) => {
  try {
    const files = [...target.files]
    target.value = ''
    const transfer = await peersox.sendFiles(files)
    await follow(transfer, 'sent')
  } catch (error) {
    tell(error.message)
  }
}

// A page may ask first: `offer.entries` says what is offered, and `offer.decline()` refuses it. Where there is a
// directory, `directorySink(directory)` writes to it instead of keeping everything in memory.
peersox.on('transfer', async (offer) => {
  const sink = memorySink()
  try {
    await Promise.all([offer.accept(sink), follow(offer, 'received')])
    for (const { entry, blob } of sink.files) save(entry.path.join('/'), blob)
  } catch (error) {
    tell(error.message)
  }
})

/** Shows how far a transfer is; resolves when it is done. */
async function follow(transfer, done) {
  const item = document.createElement('li')
  const bar = document.createElement('progress')
  const text = document.createElement('span')
  text.textContent = transfer.entries.map((it) => it.path.join('/')).join(', ')
  item.append(text, bar)
  transfers.append(item)
  transfer.on('progress', ({ bytesDone, bytesTotal }) => {
    if (bytesTotal !== null) Object.assign(bar, { max: bytesTotal || 1, value: bytesTotal ? bytesDone : 1 })
  })
  await transfer.done
  bar.replaceWith(` ${done}`)
}

/** Offers a file that has arrived for download. */
function save(name, blob) {
  const link = document.createElement('a')
  Object.assign(link, { href: URL.createObjectURL(blob), download: name.split('/').at(-1), textContent: `Save ${name}` })
  const item = document.createElement('li')
  item.append(link)
  transfers.append(item)
}
