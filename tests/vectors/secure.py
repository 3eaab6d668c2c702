"""Computes secure.json a second time, from docs/protocol.md, without any code of this repository.

    tests/interop/python/run --vectors
"""

import hashlib
import hmac
import json
import pathlib

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from noise.connection import Keypair, NoiseConnection
from spake2 import SPAKE2_A, SPAKE2_B

HERE = pathlib.Path(__file__).parent
LABEL = b"peersox/secure/1"
LANES = {"reliable": 1, "datagram": 2, "signal": 3}
ORDER = 2**252 + 27742317777372353535851937790883648493
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
    bits = int.from_bytes(expand(extract(LABEL, secret), b"verification phrase", 4))
    return " ".join(WORDS[bits >> shift & 0x3FF] for shift in (22, 12, 2))


def pake(vector):
    pairing = bytes.fromhex(vector["pairing_id"])
    names = {
        "idA": LABEL + b" initiator " + pairing,
        "idB": LABEL + b" joiner " + pairing,
    }

    def side(kind, random):
        machine = kind(vector["code"].encode(), **names)
        scalar = int.from_bytes(bytes.fromhex(random), "little") % ORDER
        machine.params.group.random_scalar = lambda _: scalar
        return machine, machine.start()

    a, x = side(SPAKE2_A, vector["initiator_random"])
    b, y = side(SPAKE2_B, vector["joiner_random"])
    shared = a.finish(y)
    assert shared == b.finish(x)
    prk = extract(digest(b"pake", pairing, x, y), shared)
    secret = expand(prk, b"pairing secret")
    assert vector["payloads"] == [
        (b"\x01\x01" + digest(b"commitment", pairing, x)).hex(),
        (b"\x01\x02" + y).hex(),
        (b"\x01\x03" + x).hex(),
        (b"\x01\x04" + expand(prk, b"confirm joiner")).hex(),
        (b"\x01\x05" + expand(prk, b"confirm initiator")).hex(),
    ]
    assert vector["pairing_secret"] == secret.hex()
    assert vector["verification_phrase"] == phrase(secret)


def noise(vector, initiator):
    side = NoiseConnection.from_name(b"Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s")
    side.set_as_initiator() if initiator else side.set_as_responder()
    side.set_psks(bytes.fromhex(vector["pairing_secret"]))
    side.set_prologue(
        LABEL
        + b" noise "
        + bytes.fromhex(vector["pairing_id"])
        + b" initiator joiner "
        + bytes.fromhex(vector["attempt"])
    )
    name = "initiator_ephemeral" if initiator else "joiner_ephemeral"
    side.set_keypair_from_private_bytes(Keypair.EPHEMERAL, bytes.fromhex(vector[name]))
    side.start_handshake()
    return side


def handshake(vector):
    a, b = noise(vector, True), noise(vector, False)
    attempt = bytes.fromhex(vector["attempt"])
    first = a.write_message(bytes.fromhex(vector["initiator_hello"]))
    assert b.read_message(first).hex() == vector["initiator_hello"]
    second = b.write_message(bytes.fromhex(vector["joiner_hello"]))
    assert a.read_message(second).hex() == vector["joiner_hello"]
    assert vector["payloads"] == [
        (b"\x02\x01" + attempt + first).hex(),
        (b"\x02\x02" + attempt + second).hex(),
    ]
    split = {
        "initiator": a.noise_protocol.cipher_state_encrypt.k,
        "joiner": b.noise_protocol.cipher_state_encrypt.k,
    }
    key_hash = a.get_handshake_hash()
    frame = vector["initiator_seals_nothing_on_reliable"]
    assert seal(split, key_hash, attempt, "initiator", "reliable", 0, b"").hex() == frame
    frame = vector["joiner_seals_text_on_signal"]
    assert seal(split, key_hash, attempt, "joiner", "signal", 0, b"text").hex() == frame
    assert vector["verification_phrase"] == phrase(bytes.fromhex(vector["pairing_secret"]))


def seal(split, key_hash, attempt, sender, lane, counter, plaintext):
    chain = expand(extract(key_hash, split[sender]), f"records {sender} {lane}".encode())
    for _ in range(counter >> 18):
        chain = expand(chain, b"next")
    header = bytes([LANES[lane], 3]) + attempt[:4] + counter.to_bytes(8, "big")
    cipher = ChaCha20Poly1305(expand(chain, b"key"))
    return header + cipher.encrypt(bytes(4) + counter.to_bytes(8, "big"), plaintext, header)


def records(vector):
    split = {
        "initiator": bytes.fromhex(vector["split_initiator_to_joiner"]),
        "joiner": bytes.fromhex(vector["split_joiner_to_initiator"]),
    }
    key_hash, attempt = (bytes.fromhex(vector[name]) for name in ("handshake_hash", "attempt"))
    for row in vector["frames"]:
        counter = int(row["frame"][12:28], 16)
        text = row["plaintext"].encode()
        frame = seal(split, key_hash, attempt, row["from"], row["lane"], counter, text)
        assert frame.hex() == row["frame"], row
    return len(vector["frames"])


vectors = json.loads((HERE / "secure.json").read_text())
assert len(WORDS) == 1024
for each in vectors["pake"]:
    pake(each)
for each in vectors["handshake"]:
    handshake(each)
count = records(vectors["records"])
print(f"{len(vectors['pake'])} PAKEs, {len(vectors['handshake'])} handshakes, {count} records agree")
