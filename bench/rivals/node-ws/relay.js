// A relay as one writes it on npm's `ws`: two WebSockets with the same path meet.
//
// usage: node relay.js PORT
const { WebSocketServer } = require('ws')

const MOST_UNSENT = 1 << 20
const port = Number(process.argv[2])
const waiting = new Map()

const server = new WebSocketServer({ host: '127.0.0.1', port, perMessageDeflate: false, backlog: 4096 })
server.on('connection', (socket, request) => {
  socket.on('error', () => socket.terminate())
  const peer = waiting.get(request.url)
  if (!peer) {
    waiting.set(request.url, socket)
    socket.on('close', () => waiting.delete(request.url))
    return
  }
  waiting.delete(request.url)
  join(socket, peer)
  join(peer, socket)
})

// The sender is not read while much waits for the receiver.
function join(from, to) {
  from.on('message', (message, binary) => {
    to.send(message, { binary }, () => {
      if (from.isPaused && to.bufferedAmount < MOST_UNSENT / 2) from.resume()
    })
    if (to.bufferedAmount > MOST_UNSENT) from.pause()
  })
  from.on('close', () => to.close())
}
