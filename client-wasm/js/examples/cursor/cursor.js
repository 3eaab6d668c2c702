// Two people pair by a code and see each other's pointer. Positions are datagrams: one that is lost is not missed,
// because the next one is newer; one that came too late would move the cursor back.

import { element, meet } from '../meet.js'

const [field, theirs] = ['field', 'theirs'].map(element)
const peersox = meet(field)

// A datagram: its number, then the position in parts of the field, which may be larger over there.
let sent = 0
field.onpointermove = ({ clientX, clientY }) => {
  const { left, top, width, height } = field.getBoundingClientRect()
  const datagram = new DataView(new ArrayBuffer(12))
  datagram.setUint32(0, ++sent)
  datagram.setFloat32(4, (clientX - left) / width)
  datagram.setFloat32(8, (clientY - top) / height)
  // False if there is no path at this moment: the next one will do.
  peersox.datagrams.send(datagram)
}

let seen = 0
peersox.on('datagram', (bytes) => {
  if (bytes.byteLength !== 12) return
  const datagram = new DataView(bytes.buffer, bytes.byteOffset)
  const number = datagram.getUint32(0)
  if (number <= seen) return
  seen = number
  theirs.hidden = false
  theirs.style.left = `${datagram.getFloat32(4) * 100}%`
  theirs.style.top = `${datagram.getFloat32(8) * 100}%`
})
