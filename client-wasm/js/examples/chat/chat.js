// Two people pair by a code and send each other lines of text.

import { PeerSoxClient } from 'peersox'

const url = new URL(location.href).searchParams.get('server') ?? 'http://localhost:3000'
const peersox = new PeerSoxClient({ url, storage: null })
const [meet, show, join, state, lines, say, leave] = ['meet', 'show', 'join', 'state', 'lines', 'say', 'leave'].map((id) =>
  document.getElementById(id),
)

show.onclick = async () => {
  try {
    const { code } = await peersox.initPairing()
    tell(`Type this on the other device: ${code}`)
  } catch (error) {
    tell(error.message)
  }
}

join.onsubmit = async (event) => {
  event.preventDefault()
  try {
    await peersox.pair(join.elements.code.value)
  } catch (error) {
    tell(error.message)
  }
}

peersox.on('peer.connected', ({ phrase }) => {
  meet.hidden = true
  say.hidden = false
  tell(`Connected. Both of you see: ${phrase}`)
})
peersox.on('peer.away', () => tell('The other one is away. What you send arrives later.'))
peersox.on('peer.back', () => tell('The other one is back.'))
peersox.on('closed', ({ message }) => {
  say.hidden = true
  tell(`It is over: ${message}`)
})

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

function tell(text) {
  state.textContent = text
}
