import { PeerSoxClient } from './entry'

const url = new URL(location.href).searchParams.get('server') ?? undefined
const client = new PeerSoxClient({ url, storage: null })
const { code } = await client.initPairing()
Object.assign(globalThis, { client, code })
