"""What carries a leg over QUIC or WebTransport, by aioquic.

    peer                                            relay
      | ALPN peersox.v1, or h3                        |
      |<--------------- a certificate that was told --|
      | h3: SETTINGS, CONNECT /v1/relay               |
      |---------------------------------------------->|
      |<-------------------------- h3: SETTINGS, 200 -|
      | the leg's stream: length, Hello               |
      |---------------------------------------------->|
      |<====== length, frame; frame as datagram =====>|
      | the end of the stream, then the number        |
      |---------------------------------------------->|  either side names the number

Over QUIC the number is that of an application close. Over WebTransport it is in a capsule (RFC 9297) on the stream of
CONNECT.
"""

import asyncio
import collections
import contextlib
import hashlib
import ssl
from urllib.parse import urlsplit

from aioquic.asyncio import QuicConnectionProtocol
from aioquic.buffer import Buffer, BufferReadError, encode_uint_var
from aioquic.h3.connection import ErrorCode, H3Connection, Setting
from aioquic.h3.events import DatagramReceived, DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (ConnectionTerminated, DatagramFrameReceived, HandshakeCompleted, StreamDataReceived)
from cryptography.hazmat.primitives.serialization import Encoding

from leg import DATAGRAM, PATIENCE

LARGEST_DATAGRAM = 65535  # What this peer takes, in bytes.
MAX_SESSIONS = 0xC671706A  # SETTINGS_WEBTRANSPORT_MAX_SESSIONS of draft-ietf-webtrans-http3-07.
SETTINGS = [Setting.ENABLE_WEBTRANSPORT, MAX_SESSIONS, Setting.ENABLE_CONNECT_PROTOCOL, Setting.H3_DATAGRAM]
CLOSE_SESSION = 0x2843  # The capsule CLOSE_WEBTRANSPORT_SESSION: a u32, then a text.


class Refused(Exception):
    """The relay gave no connection (the error of QUIC), or no session (the status of HTTP)."""

    def __init__(self, number, text=""):
        super().__init__(f"{number}: {text}")
        self.number = number


class WrongCertificate(Exception):
    """The relay showed a certificate of which control did not tell the digest."""


class Quic:
    """See call.Call, which is used in the same way."""

    ALPN = "peersox.v1"

    def __init__(self, connection):
        self.connection = connection
        self.quic = connection.quic
        self.stream = None  # That of the leg, once it is open.
        self.unread = b""  # A frame that came in part.
        self.frames = collections.deque()
        self.is_over, self.number = False, None  # Whether the relay hung up, and with which number.

    @classmethod
    async def connect(cls, endpoint, alpn=None, headers=()):
        """Connects to an endpoint that control told. A request of HTTP has these headers besides."""
        url = urlsplit(endpoint.url)
        configuration = QuicConfiguration(
            alpn_protocols=[alpn or cls.ALPN], server_name=url.hostname, max_datagram_frame_size=LARGEST_DATAGRAM,
            verify_mode=ssl.CERT_NONE if endpoint.certificate_hashes else ssl.CERT_REQUIRED)
        wire = cls(await Connection.open(configuration, url))
        try:
            await asyncio.wait_for(wire.shake_hands(endpoint.certificate_hashes), PATIENCE)
            await asyncio.wait_for(wire.begin(url, headers), PATIENCE)
        except BaseException:
            wire.connection.close()
            raise
        return wire

    async def shake_hands(self, digests):
        """Waits for the handshake, and looks at the certificate before anything is said."""
        while not isinstance(event := await self.connection.events.get(), HandshakeCompleted):
            if isinstance(event, ConnectionTerminated):
                raise Refused(event.error_code, event.reason_phrase)
        if digests:
            # aioquic has no public name for the certificate. It has verified the signature that goes with it.
            shown = self.quic.tls._peer_certificate.public_bytes(Encoding.DER)
            digest = hashlib.sha256(shown).digest()
            if digest not in digests:
                raise WrongCertificate(f"{digest.hex()}, not {', '.join(each.hex() for each in digests)}")

    async def begin(self, _url, _headers):
        """Opens the stream of the leg."""
        self.stream = self.quic.get_next_available_stream_id()

    async def send(self, frame):
        """Sends one frame. Into a leg that has ended, nothing."""
        if self.is_over or self.connection.is_gone:
            return
        if frame[0] == DATAGRAM:
            self.send_datagram(frame)
        else:
            self.quic.send_stream_data(self.stream, len(frame).to_bytes(4, "big") + frame)
        self.connection.transmit()

    def send_datagram(self, frame):
        self.quic.send_datagram_frame(frame)

    async def receive(self):
        """Returns the next frame; EOFError with the number if the relay hangs up, or with None."""
        while not self.frames and not self.is_over:
            self.hear(await self.connection.events.get())
        if self.frames:
            return self.frames.popleft()
        raise EOFError(self.number)

    def hear(self, event):
        """Takes what came."""
        if isinstance(event, StreamDataReceived) and event.stream_id == self.stream:
            self.hear_stream(event.data)
        elif isinstance(event, DatagramFrameReceived):
            self.frames.append(event.data)
        elif isinstance(event, ConnectionTerminated):
            # A close of QUIC itself, such as that of a connection that was silent for too long, names a frame type.
            self.end(event.error_code if event.frame_type is None else None)

    def hear_stream(self, data):
        self.unread += data
        while len(self.unread) >= 4 and len(self.unread) >= (end := 4 + int.from_bytes(self.unread[:4], "big")):
            self.frames.append(self.unread[4:end])
            self.unread = self.unread[end:]

    def end(self, number):
        """The leg is over. What came before it is still to be taken."""
        if not self.is_over:
            self.is_over, self.number = True, number

    def abort(self):
        """Falls silent, as a network does that is gone. The relay hears nothing of it."""
        self.connection.vanish()

    async def close(self, number):
        """Hangs up with this number, once the relay has all that was sent."""
        await self.finish(self.stream)
        self.connection.close(number, "python-interop hangs up")

    async def finish(self, stream):
        """Ends this direction of a stream, and waits until that is acknowledged."""
        # aioquic tells acknowledgements to nobody, and forgets a stream that is finished.
        sender = self.quic._streams[stream].sender
        self.quic.send_stream_data(stream, b"", end_stream=True)
        self.connection.transmit()
        await asyncio.wait_for(self.connection.until(lambda: sender.is_finished), PATIENCE)


class WebTransport(Quic):
    """A session of WebTransport, which has the connection for itself."""

    ALPN = "h3"

    async def begin(self, url, headers):
        """Asks for a session, and opens the stream of the leg in it."""
        self.session = self.status = None
        self.capsules = b""
        self.http = H3Connection(self.quic, enable_webtransport=True)
        self.connection.transmit()
        await self.hear_until(lambda: self.http.received_settings is not None)
        announced = self.http.received_settings
        for setting in SETTINGS:
            assert announced.get(setting) == 1, (setting, announced)

        self.session = self.quic.get_next_available_stream_id()
        self.http.send_headers(self.session, [
            (b":method", b"CONNECT"), (b":protocol", b"webtransport"), (b":scheme", url.scheme.encode()),
            (b":authority", url.netloc.encode()), (b":path", url.path.encode()), *headers])
        self.connection.transmit()
        await self.hear_until(lambda: self.status is not None)
        if self.status != 200:
            raise Refused(self.status)
        self.stream = self.http.create_webtransport_stream(self.session)

    async def hear_until(self, condition):
        while not condition():
            assert not self.is_over, "the connection ended before there was a session"
            self.hear(await self.connection.events.get())

    def send_datagram(self, frame):
        self.http.send_datagram(self.session, frame)

    def hear(self, event):
        if isinstance(event, ConnectionTerminated):
            # The number of a session is in its capsule: a connection that ends without one is lost.
            return self.end(None)
        # aioquic would read as HTTP what comes on a stream of the session that this side has opened.
        if self.stream is not None and getattr(event, "stream_id", None) == self.stream:
            return super().hear(event)
        for heard in self.http.handle_event(event):
            assert heard.stream_id == self.session, heard
            if isinstance(heard, HeadersReceived):
                self.status = int(dict(heard.headers)[b":status"])
            elif isinstance(heard, DatagramReceived):
                self.frames.append(heard.data)
            elif isinstance(heard, DataReceived):
                self.hear_capsules(heard.data)
                if heard.stream_ended:
                    self.end(None)
        self.connection.transmit()

    def hear_capsules(self, data):
        """Takes a piece of the capsules of the session; only the one that ends it counts."""
        self.capsules += data
        with contextlib.suppress(BufferReadError):
            while self.capsules:
                buffer = Buffer(data=self.capsules)
                kind = buffer.pull_uint_var()
                payload = buffer.pull_bytes(buffer.pull_uint_var())
                self.capsules = self.capsules[buffer.tell():]
                if kind == CLOSE_SESSION:
                    self.end(int.from_bytes(payload[:4], "big"))

    async def close(self, number):
        """Ends the session with this number, once the relay has all that was sent."""
        await self.finish(self.stream)
        payload = number.to_bytes(4, "big") + b"python-interop hangs up"
        capsule = encode_uint_var(CLOSE_SESSION) + encode_uint_var(len(payload)) + payload
        self.http.send_data(self.session, capsule, end_stream=False)
        await self.finish(self.session)
        self.connection.close(ErrorCode.H3_NO_ERROR)


class Connection(QuicConnectionProtocol):
    """A connection whose events wait in a queue until somebody takes them."""

    def __init__(self, configuration):
        super().__init__(QuicConnection(configuration=configuration))
        self.quic = self._quic
        self.events = asyncio.Queue()
        self.progress = asyncio.Event()  # Something came, or the connection is over.
        self.is_over = self.is_gone = False

    @classmethod
    async def open(cls, configuration, url):
        """Begins a handshake from a socket of its own."""
        udp, connection = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: cls(configuration), remote_addr=(url.hostname, url.port))
        connection.udp = udp
        connection.connect(udp.get_extra_info("peername"))
        return connection

    def quic_event_received(self, event):
        self.events.put_nowait(event)
        if isinstance(event, ConnectionTerminated):
            self.is_over = True
            self.progress.set()
            self.udp.close()

    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        self.progress.set()

    async def until(self, condition):
        """Waits until the condition holds, or the connection is over."""
        while not condition() and not self.is_over:
            self.progress.clear()
            await self.progress.wait()

    def transmit(self):
        if not self.is_gone:
            super().transmit()

    def vanish(self):
        """Gives the socket back, and says nothing any more."""
        self.is_gone = True
        self.udp.abort()
