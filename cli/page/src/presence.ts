/** How a session stands, in one word for the style and in some for people. */

import type { Session } from './session.js'

/** See the module. */
export function presence(session: Session): ['on' | 'off' | 'wait' | 'end', string] {
  switch (session.phase) {
    case 'connected':
      return ['on', session.client.status.path === 'webrtc' ? 'Connected directly' : 'Connected by relay']
    case 'away':
      return ['off', 'Away']
    case 'elsewhere':
      return ['wait', 'In another tab']
    case 'ended':
      return ['end', session.endedWell && session.endedBy === 'peer-closed' ? 'Finished' : 'Ended']
    case 'meeting':
    case 'waiting':
      return ['wait', session.client.status.server === 'connected' ? 'Not here yet' : 'Reaching the server …']
  }
}
