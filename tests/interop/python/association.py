"""Sealing between the peers, written from section 6 of docs/protocol.md.

    initiator                              joiner
      | 01 01 commitment ------------------> |
      | <----------------- Y          01 02  |   once per code: SPAKE2
      | 01 03 X ---------------------------> |
      | <----------------- confirms   01 04  |
      | 01 05 confirms --------------------> |   both have the pairing secret
      | 02 01 attempt, Noise 1 ------------> |
      | <----------------- Noise 2    02 02  |   for every path: Noise NNpsk0
      | 03    an empty record -------------> |   both have keys
      | 03    records <------> records   03  |

What the formulas of the section give is computed in tests/vectors/secure.py.
"""

import asyncio
import contextlib
import hmac
import os

import secure
from cryptography.exceptions import InvalidTag
from leg import RELIABLE, SIGNAL
from secure import (BURNT, COMMITMENT, ELEMENT_X, ELEMENT_Y, FIRST, HANDSHAKE, INITIATOR_CONFIRMS,
                    JOINER_CONFIRMS, PAKE, RECORD, SECOND, SEND_AGAIN)

MISMATCH, RESTARTED, SPENT = 1, 2, 3
PAUSES = 3, 6, 12  # Seconds until an unanswered last word is said again; then this peer gives up.
LENGTHS = {COMMITMENT: 32, ELEMENT_Y: 33, ELEMENT_X: 33, JOINER_CONFIRMS: 32,
           INITIATOR_CONFIRMS: 32, BURNT: 1}
LANES = {number: name for name, number in secure.LANES.items()}
OTHER = {"initiator": "joiner", "joiner": "initiator"}


class Burnt(Exception):
    """The code is spent without a secret."""

    def __init__(self, reason, told):
        super().__init__(f"burnt for reason {reason}, {'told' if told else 'found'}")
        self.reason, self.told = reason, told


class Association:
    """One end of a pairing: payloads of the other peer in, payloads to send in `out`."""

    def __init__(self, role, pairing, code, hello=b"python-interop"):
        self.role, self.pairing, self.hello = role, pairing, hello
        self.pake = secure.spake2(role, pairing, code.encode())
        self.element = self.pake.start()
        self.heard = {}  # What the other peer said in each step of the PAKE,
        self.word = None  # and what was said last in turn.
        if role == "initiator":
            self.word = pake(COMMITMENT, secure.commit(pairing, self.element))
        self.burnt = False
        self.confirmations = self.agreed = self.secret = None
        self.attempt = None  # The initiator's, until it is answered: its name, Noise, message 1.
        self.offered = None  # The joiner's answer, until the keys are used: keys, message 2.
        self.current = self.previous = None
        self.other_hello = None
        self.counters = {}  # Of the next record of each session and lane.
        self.opened = set()  # Session, lane and counter of every record; a run here is short.
        self.out = []

    def path_up(self):
        """Says the last word again, or begins a handshake."""
        if self.secret is None:
            self.say(self.word or bytes([HANDSHAKE, SEND_AGAIN]))
        elif self.role == "joiner":
            self.say(bytes([HANDSHAKE, SEND_AGAIN]))
        else:
            if self.current is None:
                self.say(self.word)
            self.begin()

    def handle(self, lane, payload):
        """Takes a payload; returns the plaintext of a record that has one."""
        kind, step, body = payload[0], payload[1], payload[2:]
        if kind == RECORD:
            return self.open(lane, payload)
        assert lane == RELIABLE, f"kind {kind} on lane {lane}"
        if kind == PAKE:
            self.hear_pake(step, body)
        elif kind == HANDSHAKE and step == SEND_AGAIN:
            assert not body, body
            if self.role == "initiator" and not self.burnt:
                self.path_up()
        elif kind == HANDSHAKE:
            self.hear_handshake(step, body[:8], body[8:])
        else:
            raise AssertionError(f"no message begins like {payload[:2].hex()}")
        return None

    def seal(self, lane, plaintext):
        """The payload of a record."""
        session = self.current
        counter = self.counters.get((session.attempt, lane), 0)
        self.counters[session.attempt, lane] = counter + 1
        return session.seal(self.role, LANES[lane], counter, plaintext)[1:]

    def hear_pake(self, step, body):
        assert len(body) == LENGTHS[step], body
        if step == BURNT:
            if self.secret is None:
                self.burnt, self.word = True, pake(BURNT, body)
                raise Burnt(body[0], told=True)
            return
        if self.role == sender(step):
            return  # Its own words, sent back.
        if self.burnt:
            self.say(self.word)
        elif step in self.heard and body == self.heard[step]:
            if step == max(self.heard) and step != INITIATOR_CONFIRMS:
                self.say(self.word)
                if self.secret is not None:
                    self.begin()
        elif self.secret is not None:
            self.say(pake(BURNT, bytes([SPENT])))
        elif step in self.heard or not self.heard and step > ELEMENT_Y:
            self.burn(RESTARTED)
        elif step <= max(self.heard, default=0) + 2:
            self.heard[step] = body
            self.advance(step, body)

    def advance(self, step, body):
        """Takes the next step of the PAKE."""
        if step == COMMITMENT:
            self.answer(ELEMENT_Y, self.element)
        elif step == ELEMENT_Y:
            self.finish(self.element, body)
            self.answer(ELEMENT_X, self.element)
        elif step == ELEMENT_X:
            if not hmac.compare_digest(secure.commit(self.pairing, body), self.heard[COMMITMENT]):
                self.burn(MISMATCH)
            self.finish(body, self.element)
            self.answer(JOINER_CONFIRMS, self.confirmations["joiner"])
        else:
            if not hmac.compare_digest(body, self.confirmations[OTHER[self.role]]):
                self.burn(MISMATCH)
            self.secret = self.agreed
            if step == JOINER_CONFIRMS:
                self.answer(INITIATOR_CONFIRMS, self.confirmations["initiator"])
                self.begin()

    def finish(self, x, y):
        try:
            key = self.pake.finish(y if self.role == "initiator" else x)
        except Exception:  # Whatever the library says: it is no point, or of the wrong side.
            self.burn(MISMATCH)
        self.agreed, self.confirmations = secure.agree(self.pairing, x, y, key)

    def begin(self):
        """Sends message 1 of the attempt under way, or of a new one."""
        if self.attempt is None:
            name = os.urandom(8)
            noise = secure.noise("initiator", self.pairing, self.secret, name)
            self.attempt = name, noise, noise.write_message(self.hello)
        name, _, message = self.attempt
        self.say(bytes([HANDSHAKE, FIRST]) + name + message)

    def hear_handshake(self, step, name, message):
        if self.secret is None:
            return
        if self.role == "initiator" and step == SECOND:
            if self.attempt is None or name != self.attempt[0]:
                return
            _, noise, _ = self.attempt
            self.other_hello = bytes(noise.read_message(message))
            self.attempt = None
            self.use(secure.Session.of(self.role, name, noise))
            self.say(self.seal(RELIABLE, b""))
        elif self.role == "joiner" and step == FIRST:
            if name in [session.attempt for session in (self.current, self.previous) if session]:
                return
            if self.offered is None or name != self.offered[0].attempt:
                noise = secure.noise("joiner", self.pairing, self.secret, name)
                self.other_hello = bytes(noise.read_message(message))
                second = bytes([HANDSHAKE, SECOND]) + name + noise.write_message(self.hello)
                self.offered = secure.Session.of(self.role, name, noise), second
            self.say(self.offered[1])

    def open(self, lane, payload):
        frame = bytes([lane]) + payload
        offered = self.offered and self.offered[0]
        for session in (self.current, self.previous, offered):
            if session is None or session.id != payload[1:5]:
                continue
            try:
                counter, plaintext = session.open(OTHER[self.role], LANES[lane], frame)
            except InvalidTag:
                assert session is offered, "a record is altered or forged"
                return None
            if session is offered:
                self.offered = None
                self.use(session)
            once = session.attempt, lane, counter
            if once in self.opened:
                return None
            self.opened.add(once)
            return plaintext or None
        return None

    def use(self, session):
        self.previous, self.current = self.current, session

    def answer(self, step, body):
        self.word = pake(step, body)
        self.say(self.word)

    def burn(self, reason):
        self.burnt = True
        self.answer(BURNT, bytes([reason]))
        raise Burnt(reason, told=False)

    def say(self, payload):
        self.out.append(payload)


def pake(step, body):
    return bytes([PAKE, step]) + body


def sender(step):
    return "joiner" if step in (ELEMENT_Y, JOINER_CONFIRMS) else "initiator"


class Sealed:
    """A leg on which everything between the peers is sealed; used like a leg."""

    def __init__(self, leg, association):
        self.leg, self.association = leg, association

    async def secure(self):
        """Proves the code and shakes hands; Burnt if the codes differ."""
        for pause in PAUSES:
            await self.path_up()
            with contextlib.suppress(asyncio.TimeoutError):
                while self.association.current is None:
                    plaintext = await self.take(*await self.leg.peer_frame(pause))
                    assert plaintext is None, "a record came before there were keys"
                return
        raise AssertionError("the other peer does not answer")

    def abort(self):
        self.leg.abort()

    async def go_on(self, leg):
        """Takes another leg, at once with the keys at hand."""
        self.leg = leg
        await self.path_up()

    async def path_up(self):
        self.association.path_up()
        await self.flush()

    async def send(self, lane, plaintext):
        await self.leg.send(lane, self.association.seal(lane, plaintext))

    async def frame(self, lane):
        """Returns the plaintext of the next record, which is of this lane."""
        while True:
            got, payload = await self.leg.peer_frame()
            plaintext = await self.take(got, payload)
            if plaintext is not None:
                assert got == lane, f"lane {got} while waiting for lane {lane}"
                return plaintext

    async def hung_up(self):
        return await self.leg.hung_up()

    async def take(self, lane, payload):
        """Returns the plaintext of a record. This peer has no direct paths: it opens signals and drops them."""
        try:
            plaintext = self.association.handle(lane, payload)
            return None if lane == SIGNAL else plaintext
        finally:
            await self.flush()

    async def flush(self):
        for payload in self.association.out:
            await self.leg.send(RELIABLE, payload)
        self.association.out.clear()
