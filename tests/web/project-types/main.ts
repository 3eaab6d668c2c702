// What a strict project in TypeScript writes. It is compiled, not run.

import PeerSox, { Channel, type ClientEvents, type Data, memorySink, type Pairing, PeerSoxClient, SUPPORTS } from 'peersox'
import { PeerSoxClient as Slim } from 'peersox/slim'

const client = new PeerSoxClient({ url: 'https://example.org', patienceMs: 60_000 })
client.on('error', (error) => console.log(error.message, 'code' in error ? error.code : null))
client.on('peer.connected', ({ phrase }) => console.log(phrase))
client.on('transfer', (offer) => void offer.accept(memorySink()))
client.onString = (text: string) => void client.send(text)
client.addEventListener('message', (event) => console.log(event.detail), { once: true })

const data: Data[] = ['x', new ArrayBuffer(1), new SharedArrayBuffer(1), new Uint8Array(2), new DataView(new ArrayBuffer(2)), new Blob(['x'])]
for (const it of data) void client.send(it)

export async function all(pairing: Pairing, channel: Channel, signal: AbortSignal): Promise<void> {
  await client.connect(pairing, { signal })
  for await (const message of channel) console.log(typeof message === 'string' ? message : message.byteLength)
  const sent = await client.sendFiles([new File(['x'], 'x'), { path: 'a/b', data: 'text' }])
  await sent.done
}

export const reasons: ClientEvents['closed']['reason'][] = ['closed', 'expired']
export { PeerSox, Slim, SUPPORTS }
