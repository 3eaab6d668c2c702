// One end of a pairing in Node, as node.mjs runs it: node node-peer.mjs SERVER [CODE]
//
// Prints a line for each thing that is checked. Ends by itself when nothing is left to be done.

const [url, code] = process.argv.slice(2)
if (process.env.WITHOUT_WEBSOCKET) delete globalThis.WebSocket
const { PeerSoxClient } = await import('peersox')
const client = new PeerSoxClient({ url, name: 'Node' })
console.log(`supports ${JSON.stringify(PeerSoxClient.SUPPORTS)}`)

if (process.env.WITHOUT_WEBSOCKET) {
  const pairing = await client.createPairing()
  console.log(`code ${pairing.code}`)
  const said = await client.connect(pairing).catch((error) => error.code)
  console.log(`connecting: ${said}`)
} else {
  const closed = new Promise((resolve) => client.on('closed', resolve))
  if (code) await client.pair(code)
  else console.log(`code ${(await client.initPairing()).code}`)
  await client.connected()
  await client.send(`from the ${client.status.role} ✓`)
  await client.send(Uint8Array.of(1, 2, 3).subarray(1))
  console.log(`got ${await client.receive()}`)
  console.log(`got ${new Uint8Array(await client.receive()).join()}`)
  // More than the engine's memory has at first, each way at once.
  const large = Array.from({ length: 6 }, (_, at) => new Uint8Array(2_000_000).fill(at))
  const sent = Promise.all(large.map((it) => client.send(it)))
  for (const it of large) {
    const got = new Uint8Array(await client.receive())
    if (Buffer.compare(got, it) !== 0) console.log('got something else')
  }
  await sent
  console.log(`got ${large.length} large ones`)
  const { path, whyRelayed } = await client.stats()
  console.log(`by the ${path}: ${whyRelayed}`)
  // Whoever showed the code waits for the other side to hang up.
  if (code) await client.close()
  console.log(`closed: ${(await closed).reason}`)
}
