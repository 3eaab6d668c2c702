"""What carries a leg over WebSocket: a frame is one binary message."""

import contextlib

import websockets

SUBPROTOCOL = "peersox.v1"


class WebSocket:
    """See call.Call, which is used in the same way."""

    def __init__(self, socket):
        self.socket = socket

    @classmethod
    async def connect(cls, url):
        socket = await websockets.connect(url, subprotocols=[SUBPROTOCOL], max_size=65536)
        assert socket.subprotocol == SUBPROTOCOL, socket.subprotocol
        return cls(socket)

    async def send(self, frame):
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.socket.send(frame)

    async def receive(self):
        try:
            message = await self.socket.recv()
        except websockets.ConnectionClosed as closed:
            raise EOFError(self.socket.close_code) from closed
        assert isinstance(message, bytes), message
        return message

    def abort(self):
        self.socket.transport.abort()

    async def close(self, number):
        await self.socket.close(number)
