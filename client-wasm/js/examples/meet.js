// What the examples share: two people pair by a code, and are told how things stand.

import { PeerSoxClient } from 'peersox'

/** The element of an id. */
export const element = (id) => document.getElementById(id)

/** Says how things stand. */
export function tell(text) {
  element('state').textContent = text
}

/** A client. It pairs by the button and the form of `#meet`, which give way to `shown` while the two are connected. */
export function meet(shown) {
  const url = new URL(location.href).searchParams.get('server') ?? 'http://localhost:3000'
  const peersox = new PeerSoxClient({ url, storage: null })

  element('show').onclick = async () => {
    try {
      const { code } = await peersox.initPairing()
      tell(`Type this on the other device: ${code}`)
    } catch (error) {
      tell(error.message)
    }
  }
  element('join').onsubmit = async (event) => {
    event.preventDefault()
    try {
      await peersox.pair(event.target.elements.code.value)
    } catch (error) {
      tell(error.message)
    }
  }

  peersox.on('peer.connected', ({ phrase }) => {
    element('meet').hidden = true
    shown.hidden = false
    tell(`Connected. Both of you see: ${phrase}`)
  })
  peersox.on('closed', ({ message }) => {
    shown.hidden = true
    tell(`It is over: ${message}`)
  })
  return peersox
}
