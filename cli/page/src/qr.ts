/** A text for cameras. */

import { encode } from 'uqr'
import { h, svg } from './dom.js'

/** Dark on light in every theme: scanners want it so. */
export function qr(text: string): Element {
  const { data, size } = encode(text, { ecc: 'M', border: 2 })
  let path = ''
  data.forEach((row, y) => row.forEach((dark, x) => (path += dark ? `M${x} ${y}h1v1h-1z` : '')))
  return h(
    'div',
    { class: 'qr' },
    svg(
      'svg',
      { viewBox: `0 0 ${size} ${size}`, role: 'img', 'aria-label': 'The same as a QR code', 'shape-rendering': 'crispEdges' },
      svg('path', { d: path }),
    ),
  )
}
