// Two people pair by a code and send each other lines of text.

import { element, meet, tell } from '../meet.js'

const [lines, say, leave] = ['lines', 'say', 'leave'].map(element)
const peersox = meet(say)

peersox.on('peer.away', () => tell('The other one is away. What you send arrives later.'))
peersox.on('peer.back', () => tell('The other one is back.'))

peersox.onString = (line) => add(line, 'theirs')

say.onsubmit = async (event) => {
  event.preventDefault()
  const { line } = say.elements
  const text = line.value
  line.value = ''
  add(text, 'mine')
  try {
    await peersox.send(text)
  } catch (error) {
    tell(error.message)
  }
}

// Whoever closes the page instead is waited for: it may be a broken network.
leave.onclick = () => peersox.close()

function add(text, whose) {
  const item = document.createElement('li')
  item.className = whose
  item.textContent = text
  lines.append(item)
}
