"""Section 6 of docs/protocol.md in Python, without any code of this repository.

A peer imports what follows from what. As a program it computes secure.json a second time:

    tests/interop/python/run --vectors
"""

import hashlib
import hmac
import json
import pathlib

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from noise.connection import Keypair, NoiseConnection
from spake2 import SPAKE2_A, SPAKE2_B
from spake2.ed25519_basic import Base, bytes_to_element

HERE = pathlib.Path(__file__).parent
LABEL = b"peersox/secure/1"
LANES = {"reliable": 1, "datagram": 2, "signal": 3}
PAKE, HANDSHAKE, RECORD = 1, 2, 3
COMMITMENT, ELEMENT_Y, ELEMENT_X, JOINER_CONFIRMS, INITIATOR_CONFIRMS, BURNT = range(1, 7)
SEND_AGAIN, FIRST, SECOND = range(3)
HEADER, TAG = 14, 16
ORDER = 2**252 + 27742317777372353535851937790883648493
M = "15cfd18e385952982b6a8f8c7854963b58e34388c8e6dae891db756481a02312"
N = "f04f2e7eb734b2a8f8b472eaf9c3c632576ac64aea650b496a8a20ff00e583c3"
WORDS = (HERE / "../../core/src/code/words.txt").read_text().split()


def digest(purpose, *parts):
    return hashlib.sha256(
        b"".join(len(part).to_bytes(4, "big") + part for part in (LABEL, purpose, *parts))
    ).digest()


def extract(salt, secret):
    return hmac.digest(salt, secret, "sha256")


def expand(prk, info, length=32):
    return hmac.digest(prk, LABEL + b" " + info + b"\x01", "sha256")[:length]


def phrase(secret):
    """The verification phrase of a pairing secret."""
    bits = int.from_bytes(expand(extract(LABEL, secret), b"verification phrase", 4), "big")
    return " ".join(WORDS[bits >> shift & 0x3FF] for shift in (22, 12, 2))


def spake2(role, pairing, code):
    """One side of SPAKE2; `start` gives X or Y, `finish` of the other's the key."""
    kind = {"initiator": SPAKE2_A, "joiner": SPAKE2_B}[role]
    return kind(code, idA=LABEL + b" initiator " + pairing, idB=LABEL + b" joiner " + pairing)


def commit(pairing, x):
    return digest(b"commitment", pairing, x)


def agree(pairing, x, y, key):
    """The pairing secret and the confirmation of each role."""
    prk = extract(digest(b"pake", pairing, x, y), key)
    confirmations = {role: expand(prk, b"confirm " + role.encode())
                     for role in ("initiator", "joiner")}
    return expand(prk, b"pairing secret"), confirmations


def noise(role, pairing, secret, attempt, ephemeral=None):
    """One side of the handshake, ready for its first message."""
    side = NoiseConnection.from_name(b"Noise_NNpsk0_25519_ChaChaPoly_SHA256")
    side.set_as_initiator() if role == "initiator" else side.set_as_responder()
    side.set_psks(secret)
    side.set_prologue(LABEL + b" noise " + pairing + b" initiator joiner " + attempt)
    if ephemeral is not None:
        side.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
    side.start_handshake()
    return side


class Session:
    """The keys of one handshake."""

    def __init__(self, attempt, key_hash, initiator_key, joiner_key):
        self.attempt = attempt
        self.id = attempt[:4]
        self.prk = {"initiator": extract(key_hash, initiator_key),
                    "joiner": extract(key_hash, joiner_key)}

    @classmethod
    def of(cls, role, attempt, side):
        """What comes of a finished handshake; `role` is that of `side`."""
        ciphers = side.noise_protocol
        own, other = ciphers.cipher_state_encrypt.k, ciphers.cipher_state_decrypt.k
        keys = (own, other) if role == "initiator" else (other, own)
        return cls(attempt, side.get_handshake_hash(), *keys)

    def seal(self, sender, lane, counter, plaintext):
        """A frame, lane byte first."""
        header = bytes([LANES[lane], RECORD]) + self.id + counter.to_bytes(8, "big")
        cipher = self.cipher(sender, lane, counter)
        return header + cipher.encrypt(nonce(counter), plaintext, header)

    def open(self, sender, lane, frame):
        """The counter and the plaintext of a frame; InvalidTag if it is altered or forged."""
        header, counter = frame[:HEADER], int.from_bytes(frame[6:HEADER], "big")
        cipher = self.cipher(sender, lane, counter)
        return counter, cipher.decrypt(nonce(counter), frame[HEADER:], header)

    def cipher(self, sender, lane, counter):
        chain = expand(self.prk[sender], f"records {sender} {lane}".encode())
        for _ in range(counter >> 18):
            chain = expand(chain, b"next")
        return ChaCha20Poly1305(expand(chain, b"key"))


def nonce(counter):
    return bytes(4) + counter.to_bytes(8, "big")


def check_pake(vector):
    pairing = bytes.fromhex(vector["pairing_id"])

    def side(role, random):
        machine = spake2(role, pairing, vector["code"].encode())
        scalar = int.from_bytes(bytes.fromhex(random), "little") % ORDER
        machine.params.group.random_scalar = lambda _: scalar
        return machine, machine.start()

    a, x = side("initiator", vector["initiator_random"])
    b, y = side("joiner", vector["joiner_random"])
    shared = a.finish(y)
    assert shared == b.finish(x)
    assert (x, y, shared) == spelled_out(a, b, vector["code"].encode())
    secret, confirmations = agree(pairing, x, y, shared)
    assert vector["payloads"] == [
        bytes([PAKE, step]).hex() + body.hex()
        for step, body in [(COMMITMENT, commit(pairing, x)), (ELEMENT_Y, y), (ELEMENT_X, x),
                           (JOINER_CONFIRMS, confirmations["joiner"]),
                           (INITIATOR_CONFIRMS, confirmations["initiator"])]
    ]
    assert vector["pairing_secret"] == secret.hex()
    assert vector["verification_phrase"] == phrase(secret)


def spelled_out(a, b, password):
    """X, Y and the key by the formulas of the text; of the package only points and scalars."""
    derived = HKDF(SHA256(), 48, salt=None, info=b"SPAKE2 pw").derive(password)
    w = int.from_bytes(derived, "big") % ORDER
    m, n = bytes_to_element(bytes.fromhex(M)), bytes_to_element(bytes.fromhex(N))
    x, y = a.xy_scalar, b.xy_scalar
    sent_x, sent_y = (Base.scalarmult(own).add(blind.scalarmult(w)) for own, blind in
                      ((x, m), (y, n)))
    k = sent_y.add(n.scalarmult(-w)).scalarmult(x)
    assert k == sent_x.add(m.scalarmult(-w)).scalarmult(y)
    hashed = [hashlib.sha256(part).digest() for part in (password, a.idA, a.idB)]
    points = [point.to_bytes() for point in (sent_x, sent_y, k)]
    return b"A" + points[0], b"B" + points[1], hashlib.sha256(b"".join(hashed + points)).digest()


def check_handshake(vector):
    attempt = bytes.fromhex(vector["attempt"])
    a, b = (noise(role, *(bytes.fromhex(vector[name]) for name in
                          ("pairing_id", "pairing_secret", "attempt", f"{role}_ephemeral")))
            for role in ("initiator", "joiner"))
    first = a.write_message(bytes.fromhex(vector["initiator_hello"]))
    assert b.read_message(first).hex() == vector["initiator_hello"]
    second = b.write_message(bytes.fromhex(vector["joiner_hello"]))
    assert a.read_message(second).hex() == vector["joiner_hello"]
    assert vector["payloads"] == [
        (bytes([HANDSHAKE, FIRST]) + attempt + first).hex(),
        (bytes([HANDSHAKE, SECOND]) + attempt + second).hex(),
    ]
    ours, theirs = Session.of("initiator", attempt, a), Session.of("joiner", attempt, b)
    for session in (ours, theirs):
        for sender, lane, text, frame in [
            ("initiator", "reliable", b"", vector["initiator_seals_nothing_on_reliable"]),
            ("joiner", "signal", b"text", vector["joiner_seals_text_on_signal"]),
        ]:
            assert session.seal(sender, lane, 0, text).hex() == frame
            assert session.open(sender, lane, bytes.fromhex(frame)) == (0, text)
    assert vector["verification_phrase"] == phrase(bytes.fromhex(vector["pairing_secret"]))


def check_records(vector):
    session = Session(*(bytes.fromhex(vector[name]) for name in (
        "attempt", "handshake_hash", "split_initiator_to_joiner", "split_joiner_to_initiator")))
    for row in vector["frames"]:
        frame, text = bytes.fromhex(row["frame"]), row["plaintext"].encode()
        counter, opened = session.open(row["from"], row["lane"], frame)
        assert opened == text, row
        assert session.seal(row["from"], row["lane"], counter, text) == frame, row
    return len(vector["frames"])


def main():
    vectors = json.loads((HERE / "secure.json").read_text())
    assert len(WORDS) == 1024
    for each in vectors["pake"]:
        check_pake(each)
    for each in vectors["handshake"]:
        check_handshake(each)
    count = check_records(vectors["records"])
    print(f"{len(vectors['pake'])} PAKEs, {len(vectors['handshake'])} handshakes, "
          f"{count} records agree")


if __name__ == "__main__":
    main()
