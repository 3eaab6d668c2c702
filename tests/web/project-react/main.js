// A component that pairs when it is mounted. In strict mode React mounts it, unmounts it, and mounts it again.

import { PeerSoxClient } from 'peersox'
import { createElement, StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'

const query = new URL(location.href).searchParams
globalThis.mounts = 0
globalThis.said = []

function Room({ url, code }) {
  const [state, setState] = useState('')
  useEffect(() => {
    globalThis.mounts++
    const client = new PeerSoxClient({ url, storage: null })
    client.on('peer.connected', () => setState('connected'))
    client.on('peer.gone', () => setState('gone'))
    client.on('error', ({ message }) => said.push(message))
    const pairing = code ? client.pair(code) : client.initPairing().then((made) => (globalThis.code = made.code))
    pairing.catch((error) => said.push(error.code))
    return () => void client.close()
  }, [url, code])
  return createElement('p', null, state)
}

createRoot(document.getElementById('root')).render(
  createElement(StrictMode, null, createElement(Room, { url: query.get('server'), code: query.get('code') })),
)
