"""A minimal peer of the channel protocol, written from docs/protocol.md.

It opens the one channel, or takes the one that the initiator opens, and speaks on it:

    initiator                       joiner
      | OPEN  <------------------->  OPEN |
      | CHANNEL "peersox.pipe" ---------> |
      | DATA ...  ACK ...  <-> DATA, ACK  |
      | FINISH  <-------------->  FINISH  |
      | GOODBYE  <---------> GOODBYE_ACK  |   either may say goodbye first

A record is the plaintext of a sealed frame; see association.py.
"""

import asyncio
import os

from leg import DONE, PATIENCE, PEER_DONE, RELIABLE

OPEN, ACK, PING, PONG, GOODBYE, GOODBYE_ACK = range(1, 7)
RESET, RESET_ACK, CHANNEL, FINISH = range(7, 11)
DATA = 0x10
LAST, TEXT = 1, 2
INTERACTIVE = 0
UNDER_WAY = b"under way when the leg was lost"
BINARY_MESSAGE, TEXT_MESSAGE = DATA | LAST, DATA | LAST | TEXT


class Peer:
    """One channel over one sealed leg."""

    def __init__(self, leg):
        self.leg = leg
        self.instance = os.urandom(16)
        self.epoch = 0
        self.peer, self.peer_epoch = bytes(16), 0
        self.open = False
        self.channel = None
        self.name = None
        self.opened = self.seen = 0  # How many channels each peer has opened: one of them one.
        self.expected = 0  # The next item of the other peer's direction.
        self.sent = []  # Every item of this side as (type, what follows its number),
        self.acknowledged = 0  # and how many of them were consumed.
        self.received = []  # (whether it is text, bytes) per message; None is the end.
        self.message = b""
        self.over = False

    async def run_until(self, condition):
        """Handles records until the condition holds."""
        while not condition(self):
            await self.handle(await self.leg.frame(RELIABLE))

    async def path_up(self):
        """Begins a path: both greet each other, then say again what the other lacks."""
        self.epoch += 1
        self.open = False
        await self.send_open(0)
        await self.run_until(lambda self: self.open)

    async def send_open(self, flags):
        limits = [1 << 20, 1 << 24, 65471, 128]
        counts = [self.opened, self.seen]
        listed = [] if self.channel is None else [self.channel, self.expected, self.expected]
        await self.record(bytes([OPEN]) + varint(1) + self.instance + self.peer
                          + varint(self.epoch) + varint(self.peer_epoch) + bytes([flags])
                          + b"".join(map(varint, limits + counts + listed)))

    async def open_channel(self, name):
        """Opens the initiator's first channel."""
        self.channel, self.name, self.opened = 0, name, 1
        await self.item(CHANNEL, bytes([INTERACTIVE]) + name.encode())

    async def send(self, data, text=False):
        """Sends a message that fits one record."""
        kind = TEXT_MESSAGE if text else BINARY_MESSAGE
        await self.item(kind, data)

    async def finish(self):
        """Ends this direction."""
        await self.item(FINISH, b"")

    async def item(self, kind, payload):
        self.sent.append((kind, payload))
        await self.send_items(len(self.sent) - 1)

    async def send_items(self, first):
        """Sends the items from this number on, for the first time or again."""
        for sequence, (kind, payload) in list(enumerate(self.sent))[first:]:
            place = varint(self.channel) + (b"" if kind == CHANNEL else varint(sequence))
            await self.record(bytes([kind]) + self.tag + place + payload)

    async def record(self, record):
        await self.leg.send(RELIABLE, record)

    @property
    def tag(self):
        return bytes(a ^ b for a, b in zip(self.instance[:4], self.peer[:4]))

    async def handle(self, record):
        kind, rest = record[0], record[1:]
        if kind == OPEN:
            return await self.hear_open(rest)
        tag, rest = rest[:4], rest[4:]
        assert tag == self.tag, "a record of an earlier life"
        if kind == PING:
            await self.record(bytes([PONG]) + tag + rest)
        elif kind == GOODBYE:
            self.over = True
            await self.record(bytes([GOODBYE_ACK]) + tag)
        elif kind == ACK:
            while rest:
                channel, rest = number(rest)
                consumed, rest = number(rest)
                assert channel == self.channel and consumed <= len(self.sent), (channel, consumed)
                self.acknowledged = max(self.acknowledged, consumed)
        elif kind == CHANNEL:
            channel, rest = number(rest)
            self.channel, self.name, self.seen = channel, rest[1:].decode(), 1
            self.expected = 1
            await self.acknowledge()
        elif kind == FINISH or DATA <= kind < DATA + 4:
            await self.take(kind, rest)
        else:
            raise AssertionError(f"record type {kind:#x} is not expected here")

    async def hear_open(self, rest):
        version, rest = number(rest)
        assert version == 1
        instance, names, rest = rest[:16], rest[16:32], rest[32:]
        epoch, rest = number(rest)
        echo, rest = number(rest)
        flags, rest = rest[0], rest[1:]
        _limits, rest = numbers(rest, 4)
        (opened, seen), rest = numbers(rest, 2)
        positions, _ = numbers(rest)
        self.peer, self.peer_epoch = instance, epoch
        answers = names == self.instance and echo == self.epoch
        self.open = self.open or answers
        if not flags & 1:
            await self.send_open(1 if self.open else 0)
        if self.open:
            await self.replay(opened, seen, positions)

    async def replay(self, opened, seen, positions):
        """Says again what the other peer lacks of the channel."""
        if positions:
            channel, expected, consumed = positions
            assert channel == self.channel, channel
            self.acknowledged = max(self.acknowledged, consumed)
            await self.send_items(expected)
        elif self.channel is not None and (seen if self.opened else opened) == 0:
            await self.send_items(0)
        if self.expected > 0:
            await self.acknowledge()

    async def take(self, kind, rest):
        channel, rest = number(rest)
        sequence, payload = number(rest)
        assert channel == self.channel
        if not self.open and sequence > self.expected:
            return  # The path before lost something; it is said again.
        assert sequence <= self.expected, "the path lost something"
        if sequence == self.expected:
            self.expected += 1
            if kind == FINISH:
                self.received.append(None)
            else:
                self.message += payload
                if kind & LAST:
                    self.received.append((bool(kind & TEXT), self.message))
                    self.message = b""
        await self.acknowledge()

    async def acknowledge(self):
        await self.record(bytes([ACK]) + self.tag + varint(self.channel) + varint(self.expected))


def varint(value):
    """A variable-length integer (RFC 9000, section 16), in its shortest form."""
    for bits, length in [(6, 1), (14, 2), (30, 4), (62, 8)]:
        if value < 1 << bits:
            prefix = {1: 0, 2: 1, 4: 2, 8: 3}[length]
            return (value | prefix << (8 * length - 2)).to_bytes(length, "big")
    raise ValueError(value)


def number(data):
    """Reads a variable-length integer; returns it and what follows."""
    length = 1 << (data[0] >> 6)
    value = int.from_bytes(data[:length], "big") & ((1 << (8 * length - 2)) - 1)
    return value, data[length:]


def numbers(data, count=None):
    """Reads so many variable-length integers, or all there are; returns them and what follows."""
    found = []
    while data and len(found) != count:
        value, data = number(data)
        found.append(value)
    return found, data


async def converse(leg, role, process, incoming, another=None):
    """Talks to `peersox connect`: text and binary to its output, binary from its input.

    With `another`, which attaches again, the first leg is lost amid all that.
    """
    peer = Peer(leg)
    await peer.path_up()
    if role == "initiator":
        await peer.open_channel("peersox.pipe")
    await peer.run_until(lambda peer: peer.channel is not None)
    assert peer.name == "peersox.pipe", peer.name

    await peer.send("grüß dich, ".encode(), text=True)
    await peer.send(bytes(range(256)))
    expected = "grüß dich, ".encode() + bytes(range(256))
    output = asyncio.ensure_future(process.stdout.readexactly(len(expected)))
    await peer.run_until(lambda peer: peer.acknowledged == len(peer.sent))
    assert await asyncio.wait_for(output, PATIENCE) == expected

    process.stdin.write(incoming)
    process.stdin.close()
    if another is not None:
        await peer.run_until(lambda peer: peer.received)
        assert None not in peer.received
        leg.abort()
        await peer.send(UNDER_WAY)
        await leg.go_on(await another())
        await peer.path_up()
        output = process.stdout.readexactly(len(UNDER_WAY))
        assert await asyncio.wait_for(output, PATIENCE) == UNDER_WAY
    await peer.run_until(lambda peer: None in peer.received)
    assert not any(text for text, _ in peer.received[:-1])
    assert b"".join(data for _, data in peer.received[:-1]) == incoming

    await peer.finish()
    await peer.run_until(lambda peer: peer.over)
    assert peer.acknowledged == len(peer.sent)
    number_heard = await leg.hung_up()
    assert number_heard in (PEER_DONE, DONE), number_heard
