"""Reads channel.json from docs/protocol.md, without any code of this repository.

Every record is decoded to its fields and encoded again; in the conversations, what is to be read is
put together from what arrived, and every acknowledgement and position must be true.

    python3 tests/vectors/channel.py
"""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
PLAIN = {2: "ACK", 3: "PING", 4: "PONG", 5: "GOODBYE", 6: "GOODBYE_ACK", 7: "RESET", 8: "RESET_ACK",
         9: "CHANNEL", 10: "FINISH", 0x20: "DATAGRAM"}
FIELDS = {"PING": ["token"], "PONG": ["token"], "RESET": ["channel", "code"], "RESET_ACK": ["channel"],
          "FINISH": ["channel", "sequence"]}
OPEN = ["window", "total", "max_record", "max_channels", "opened", "seen"]


class Violation(Exception):
    pass


def number(data):
    """A variable-length integer (RFC 9000, section 16), and what follows it."""
    length = 1 << (data[0] >> 6) if data else 1
    return int.from_bytes(take(data, length), "big") & ((1 << (8 * length - 2)) - 1), data[length:]


def varint(value):
    for code, length in enumerate([1, 2, 4, 8]):
        if value < 1 << (8 * length - 2):
            return (value | code << (8 * length - 2)).to_bytes(length, "big")
    raise ValueError(value)


def take(data, length):
    if len(data) < length:
        raise Violation("it ends early")
    return data[:length]


def decode(record):
    kind, rest = take(record, 1)[0], record[1:]
    if kind == 1:
        return decode_open(rest)
    fields = {"tag": take(rest, 4).hex()}
    rest = rest[4:]
    if kind in range(0x10, 0x14):
        fields |= {"type": "DATA", "last": bool(kind & 1), "text": bool(kind & 2)}
        fields["channel"], rest = number(rest)
        fields["sequence"], rest = number(rest)
        if not rest and not kind & 1:
            raise Violation("empty and not the last")
        return fields | {"payload": rest.hex()}
    if kind not in PLAIN:
        raise Violation("unknown type")
    fields["type"] = PLAIN[kind]
    if kind == 2:
        fields["consumed"] = []
        while rest or not fields["consumed"]:
            channel, rest = number(rest)
            consumed, rest = number(rest)
            fields["consumed"].append([channel, consumed])
    elif kind == 9:
        fields["channel"], rest = number(rest)
        fields["priority"], rest = take(rest, 1)[0], rest[1:]
        if fields["priority"] > 2 or not 1 <= len(rest) <= 128:
            raise Violation("priority or name")
        try:
            fields["name"], rest = rest.decode(), b""
        except UnicodeDecodeError as error:
            raise Violation("name") from error
    elif kind == 0x20:
        fields["channel"], rest = number(rest)
        fields["payload"], rest = rest.hex(), b""
    for name in FIELDS.get(fields["type"], []):
        fields[name], rest = number(rest)
    if rest:
        raise Violation("it goes on")
    return fields


def decode_open(rest):
    version, rest = number(rest)
    if version != 1:
        raise Violation("version")
    fields = {"type": "OPEN", "instance": take(rest, 16).hex(), "peer": take(rest[16:], 16).hex()}
    rest = rest[32:]
    fields["epoch"], rest = number(rest)
    fields["echo"], rest = number(rest)
    fields["flags"], rest = take(rest, 1)[0], rest[1:]
    for name in OPEN:
        fields[name], rest = number(rest)
    if not (1024 <= fields["window"] <= fields["total"] <= 1 << 30
            and 16_384 <= fields["max_record"] <= 1 << 20 and 1 <= fields["max_channels"] <= 256):
        raise Violation("limits")
    fields["positions"] = []
    while rest:
        position = {}
        for name in ["channel", "next", "consumed"]:
            position[name], rest = number(rest)
        if position["consumed"] > position["next"]:
            raise Violation("consumed what never came")
        fields["positions"].append(position)
    return fields


def encode(fields):
    kind, tag = fields["type"], bytes.fromhex(fields.get("tag", ""))
    if kind == "OPEN":
        listed = [position[name] for position in fields["positions"]
                  for name in ["channel", "next", "consumed"]]
        return (b"\x01" + varint(1) + bytes.fromhex(fields["instance"] + fields["peer"])
                + varint(fields["epoch"]) + varint(fields["echo"]) + bytes([fields["flags"]])
                + b"".join(map(varint, [*(fields[name] for name in OPEN), *listed])))
    if kind == "DATA":
        first = 0x10 | fields["last"] | fields["text"] << 1
        return (bytes([first]) + tag + varint(fields["channel"]) + varint(fields["sequence"])
                + bytes.fromhex(fields["payload"]))
    [first] = [number for number, name in PLAIN.items() if name == kind]
    body = b"".join(varint(fields[name]) for name in FIELDS.get(kind, []))
    if kind == "ACK":
        body = b"".join(varint(value) for pair in fields["consumed"] for value in pair)
    elif kind == "CHANNEL":
        body = varint(fields["channel"]) + bytes([fields["priority"]]) + fields["name"].encode()
    elif kind == "DATAGRAM":
        body = varint(fields["channel"]) + bytes.fromhex(fields["payload"])
    return bytes([first]) + tag + body


class Direction:
    """The items of one sender on one channel, as its receiver counts them."""

    def __init__(self, opened):
        self.next = self.consumed = opened
        self.message, self.ready = b"", []

    def arrive(self, fields):
        sequence = fields.get("sequence", 0)
        assert sequence <= self.next, "what is missing was to be sent again first"
        if sequence < self.next:
            return
        self.next += 1
        if fields["type"] == "FINISH":
            self.ready.append(None)
            return
        self.message += bytes.fromhex(fields["payload"])
        kind = "text" if fields["text"] else "binary"
        self.ready.append((kind, self.message.hex()) if fields["last"] else ())
        if fields["last"]:
            self.message = b""

    def read(self):
        """The next whole message, with the fragments before it."""
        while self.ready:
            piece = self.ready.pop(0)
            self.consumed += 1
            if piece != ():
                return piece
        return None


def converse(rows):
    """Follows both peers; returns how many messages were read."""
    directions, instances, missing, count = {}, {}, False, 0
    for row in rows:
        if "path" in row:
            continue
        if "reads" in row:
            kind = "text" if "text" in row else "binary"
            direction = directions[row["reads"], row["channel"]]
            assert direction.read() == (kind, row[kind]), row
            count += 1
            continue
        sender, receiver = row["from"], {"initiator": "joiner", "joiner": "initiator"}[row["from"]]
        fields = decode(bytes.fromhex(row["hex"]))
        assert encode(fields).hex() == row["hex"], row
        if fields["type"] == "OPEN":
            instances[sender] = bytes.fromhex(fields["instance"])
            for position in fields["positions"]:
                mine = directions.get((sender, position["channel"]), Direction(0))
                assert (mine.next, mine.consumed) == (position["next"], position["consumed"]), row
            missing = False
            continue
        tag = bytes(a ^ b for a, b in zip(instances[sender], instances[receiver]))[:4]
        assert fields["tag"] == tag.hex(), row
        if fields["type"] == "ACK":
            for channel, consumed in fields["consumed"]:
                mine = directions[sender, channel]
                while mine.consumed < mine.next and mine.ready[0] is None:
                    mine.read()
                assert consumed == mine.consumed, row
        if row.get("lost"):
            missing |= fields["type"] == "DATA"
        elif fields["type"] == "CHANNEL":
            directions[receiver, fields["channel"]] = Direction(1)
            directions[sender, fields["channel"]] = Direction(0)
        elif fields["type"] in ("DATA", "FINISH") and not missing:
            directions[receiver, fields["channel"]].arrive(fields)
        elif fields["type"] == "RESET":
            for peer in (sender, receiver):
                del directions[peer, fields["channel"]]
    return count


vectors = json.loads((HERE / "channel.json").read_text())
for row in vectors["records"]:
    record = bytes.fromhex(row["hex"])
    assert decode(record) == row["fields"], (decode(record), row)
    assert encode(row["fields"]) == record, row
for row in vectors["violations"]:
    try:
        decode(bytes.fromhex(row["hex"]))
    except Violation:
        continue
    raise AssertionError(row)
messages = [converse(vectors[name]) for name in ("conversation", "interrupted")]
assert all(messages), messages
print(f"{len(vectors['records'])} records, {len(vectors['violations'])} violations and "
      f"{sum(messages)} messages agree")
