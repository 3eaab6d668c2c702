"""A leg to the relay over WebSocket, QUIC, WebTransport or gRPC, written from docs/protocol.md.

    peer                      relay
      | Notice(Hello{ticket}) |
      |---------------------->|
      |<-- Notice(Welcome) ---|
      |<====== frames =======>|

A frame is a lane byte, then the payload. What carries it is in websocket.py, quic.py and call.py; each needs
no library but its own.
"""

import asyncio

from peersox.v1 import pairing_pb2 as pairing
from peersox.v1 import relay_pb2

NOTICE, RELIABLE, DATAGRAM, SIGNAL, UNKNOWN_LANE = range(5)
DONE, PEER_DONE, TEXT_MESSAGE, LANE_UNKNOWN = 4000, 4001, 4012, 4013
PATIENCE = 10  # Seconds within which anything that is expected happens.


class Leg:
    """An admitted leg."""

    def __init__(self, wire, welcome):
        self.wire = wire
        self.welcome = welcome

    @classmethod
    async def attach(cls, endpoint, ticket):
        """Connects, says Hello, and returns the leg once it is welcome."""
        leg = cls(await connect(endpoint), None)
        await leg.notify(hello=relay_pb2.Hello(ticket=ticket, agent="python-interop"))
        leg.welcome = (await leg.notice("welcome")).welcome
        return leg

    async def send(self, lane, payload):
        """Sends one frame. Into a leg that has ended, nothing: who reads gets what came before."""
        await self.wire.send(bytes([lane]) + payload)

    async def notify(self, **kind):
        """Sends one notice, as in `notify(ping=Ping(nonce=1))`."""
        await self.send(NOTICE, relay_pb2.Notice(**kind).SerializeToString())

    async def receive(self, patience=PATIENCE):
        """Returns lane and payload of the next frame."""
        frame = await asyncio.wait_for(self.wire.receive(), patience)
        assert frame, "a frame has a lane"
        return frame[0], frame[1:]

    async def notice(self, kind):
        """Returns the next notice of this kind; other notices are passed over, frames are not."""
        while True:
            lane, payload = await self.receive()
            assert lane == NOTICE, f"lane {lane} while waiting for {kind}"
            notice = relay_pb2.Notice.FromString(payload)
            if notice.WhichOneof("kind") == kind:
                return notice

    async def frame(self, lane):
        """Returns the payload of the next frame, which is of this lane; notices are passed over."""
        got, payload = await self.peer_frame()
        assert got == lane, f"lane {got} while waiting for lane {lane}"
        return payload

    async def peer_frame(self, patience=PATIENCE):
        """Returns lane and payload of the next frame of the other peer; notices are passed over."""
        while True:
            lane, payload = await self.receive(patience)
            if lane != NOTICE:
                return lane, payload
            kind = relay_pb2.Notice.FromString(payload).WhichOneof("kind")
            assert kind != "peer_away", "the other peer lost its leg"

    async def peer_online(self):
        """Waits until the other peer is attached, too."""
        if not self.welcome.peer_online:
            await self.notice("peer_online")

    def abort(self):
        """Ends the connection as a network does that is gone."""
        self.wire.abort()

    async def hung_up(self):
        """Waits until the relay hangs up, and returns its number."""
        try:
            while True:
                await self.receive()
        except EOFError as ended:
            return ended.args[0]

    async def close(self, number=DONE):
        """Hangs up with this number."""
        await self.wire.close(number)


async def connect(endpoint):
    """Connects to an endpoint that control told, by its transport."""
    if endpoint.transport == pairing.TRANSPORT_WEBSOCKET:
        from websocket import WebSocket
        return await WebSocket.connect(endpoint.url)
    if endpoint.transport == pairing.TRANSPORT_QUIC:
        from quic import Quic
        return await Quic.connect(endpoint)
    if endpoint.transport == pairing.TRANSPORT_WEBTRANSPORT:
        from quic import WebTransport
        return await WebTransport.connect(endpoint)
    assert endpoint.transport == pairing.TRANSPORT_GRPC, endpoint
    from call import Call
    return await Call.connect(endpoint.url)
