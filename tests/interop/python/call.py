"""What carries a leg over gRPC: a call of RelayService.Attach, by generated code and nothing else.

    peer                                 relay
      | AttachRequest{frame: Hello}        |
      |----------------------------------->|
      |<-- AttachResponse{frame: Welcome} -|
      |<========== frames ================>|
      |----- close, or <------- close -----|   then the end of the call
"""

import contextlib

import grpc
from peersox.v1 import relay_pb2, relay_pb2_grpc


class Call:
    """A call, and the connection that it has for itself."""

    def __init__(self, channel):
        self.channel = channel
        self.call = relay_pb2_grpc.RelayServiceStub(channel).Attach()

    @classmethod
    async def connect(cls, url):
        """Calls `http://host:port`."""
        scheme, _, address = url.partition("://")
        assert scheme == "http", url
        # Else all legs of this program would share a connection, and its windows.
        options = [("grpc.use_local_subchannel_pool", 1)]
        return cls(grpc.aio.insecure_channel(address, options))

    async def send(self, frame):
        """Sends one frame. Into a call that has ended, nothing."""
        with contextlib.suppress(grpc.aio.AioRpcError, grpc.aio.UsageError):
            await self.call.write(relay_pb2.AttachRequest(frame=frame))

    async def receive(self):
        """Returns the next frame; EOFError with the number if the relay hangs up, or with None."""
        response = await self.next()
        if response is None:
            raise EOFError(None)
        if response.WhichOneof("kind") == "frame":
            return response.frame
        assert response.WhichOneof("kind") == "close", response
        assert await self.next() is None, "the end comes behind the number"
        raise EOFError(response.close)

    async def next(self):
        """Returns the next message; None at the end of the call, whatever its status."""
        try:
            response = await self.call.read()
        except grpc.aio.AioRpcError:
            return None
        return None if response is grpc.aio.EOF else response

    async def status(self):
        """Returns the status of a call that has ended."""
        return await self.call.code()

    def abort(self):
        """Ends the call as a network does that is gone."""
        self.call.cancel()

    async def close(self, number):
        """Hangs up with this number, and waits until the relay knows it."""
        await self.call.write(relay_pb2.AttachRequest(close=number))
        await self.call.done_writing()
        while await self.next() is not None:
            pass
        assert await self.call.code() == grpc.StatusCode.OK, await self.call.details()
        await self.channel.close()
