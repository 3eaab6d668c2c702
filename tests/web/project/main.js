import { memorySink, PeerSoxClient } from './entry.js'

const query = new URL(location.href).searchParams
const client = new PeerSoxClient({ url: query.get('server'), storage: null })
globalThis.received = []

client.onString = (text) => received.push(text)
client.on('transfer', async (transfer) => {
  const sink = memorySink()
  await transfer.accept(sink)
  for (const { entry, blob } of sink.files) received.push(`${entry.name}: ${await blob.text()}`)
})
client.on('peer.connected', async () => {
  await client.send(`from the ${client.status.role}`)
  await client.sendFiles([new File(['on paper'], `${client.status.role}.txt`)])
})

const code = query.get('code')
if (code) client.pair(code)
else client.initPairing().then((pairing) => (globalThis.code = pairing.code))
