"""The table: what each row measures, and what it must reach."""

import dataclasses

# ---- what a turn tells


def cpu_per_message(turn):
    """Microseconds of processor time of the relay for a frame."""
    return turn["relay_seconds"] / turn["frames"] * 1e6


def cpu_per_gigabyte(turn):
    """Seconds of processor time of the relay for 10^9 bytes of frames."""
    return turn["relay_seconds"] / (turn["bytes"] / 1e9)


def rate(turn):
    """Megabytes of frames that arrived in a second."""
    return turn["bytes"] / 1e6 / turn["seconds"]


def number(name):
    """A number that a turn tells as it is."""
    return lambda turn: turn[name]


UNITS = {
    cpu_per_message: "µs of CPU per frame",
    cpu_per_gigabyte: "CPU-s per GB",
    rate: "MB/s",
}

# ---- what rows are made of


@dataclasses.dataclass
class Load:
    """A load of the generator and the relays that take turns under it."""

    name: str
    relays: list
    command: list
    rounds: int = 9
    # Relays are started anew for each round, as memory does not come back.
    anew: bool = False
    real_time: bool = False
    impaired: dict | None = None


@dataclasses.dataclass
class Must:
    """What has to hold: a figure of ours is at most, or at least, so many times that of another relay in the same round;
    or, beside nobody, so much."""

    what: str
    load: str
    ours: str
    beside: str | None
    figure: object
    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""
    shown: str = ""

    def bound(self):
        sign = "≥" if self.at_most is None else "≤"
        bound = self.at_least if self.at_most is None else self.at_most
        return f"{sign} {self.shown or f'{bound:g}'}{'×' if self.beside else ''}"

    def holds(self, value):
        return value <= self.at_most if self.at_most is not None else value >= self.at_least


@dataclasses.dataclass
class Row:
    name: str
    title: str
    loads: list
    musts: list
    # What is shown of each load beside what must hold.
    figures: list = dataclasses.field(default_factory=list)


def throughput(name, relays, size, pairs=50, rounds=9, **more):
    command = ["throughput", "--size", size, "--pairs", pairs]
    return Load(name, relays, [*command, *more.pop("flags", [])], rounds, **more)


WS, WSS, QUIC = "ours-ws-ws", "ours-wss-wss", "ours-quic-quic"
SIZES = {64: "64 B", 1_024: "1 KiB", 16_384: "16 KiB", 65_536: "64 KiB"}

# Both sides have all the room that TCP and QUIC give them: the window is theirs.
FAR = ["--window", 1 << 30, "--warm-up", "5s"]


def sizes(relays, chosen, **more):
    return [throughput(SIZES[size], relays, size, **more) for size in chosen]


def against(what, ours, beside, figure, bounds):
    """A must for each size."""
    return [Must(f"{what}, {size}", size, ours, beside, figure, at_most=most) for size, most in bounds.items()]


ROWS = [
    Row(
        "batched",
        "WS→WS, 64 B, batched, 50 pairs: CPU",
        [throughput("64 B", [WS, "ws", "tcp", "node-ws", "peersox-0.3"], 64)],
        [
            Must("against bare-epoll WS", "64 B", WS, "ws", cpu_per_message, at_most=2),
            Must("against Node ws", "64 B", WS, "node-ws", cpu_per_message, at_most=1 / 90, shown="1/90"),
            Must("against PeerSox 0.3", "64 B", WS, "peersox-0.3", cpu_per_message, at_most=1 / 120, shown="1/120"),
        ],
        [cpu_per_message],
    ),
    Row(
        "unbatched",
        "WS→WS, 64 B, one write each, 50 pairs: CPU",
        [throughput("64 B", [WS, "tcp", "ws"], 64, flags=["--batch", 1, "--window", 1])],
        [Must("against bare TCP", "64 B", WS, "tcp", cpu_per_message, at_most=1.10)],
        [cpu_per_message],
    ),
    Row(
        "bulk",
        "WS→WS, 50 pairs: CPU",
        sizes([WS, "tcp", "ws"], [16_384, 65_536]),
        against("against bare TCP", WS, "tcp", cpu_per_gigabyte, {"16 KiB": 1.20, "64 KiB": 1.40}),
        [cpu_per_gigabyte],
    ),
    Row(
        "latency",
        "WS→WS: median round trip",
        [
            Load("ping-pong", [WS, "tcp"], ["ping-pong", "--turn", "1s"], real_time=True),
            Load("paced", [WS, "tcp"], ["paced", "--pairs", 200, "--rate", 25, "--size", 200, "--turn", "1s"], real_time=True),
        ],
        [
            Must("ping-pong, 64 B, against bare TCP", "ping-pong", WS, "tcp", number("p50_us"), at_most=1.10),
            Must("paced, 200 B, 10,000 forwards/s, against bare TCP", "paced", WS, "tcp", number("p50_us"), at_most=1.10),
        ],
        [number("p50_us"), number("p99_us"), number("p999_us")],
    ),
    Row(
        "quic",
        "QUIC→QUIC, 50 pairs: CPU",
        sizes([QUIC, "quic"], [64, 1_024, 16_384, 65_536]),
        against("against quinn splice", QUIC, "quic", cpu_per_gigabyte, {size: 1.05 for size in SIZES.values()}),
        [cpu_per_gigabyte],
    ),
    Row(
        "delay",
        "50 ms on each leg, each way, one pair: rate",
        [
            throughput("64 KiB", [WS, "tcp", QUIC, "quic"], 65_536, 1, flags=[*FAR, "--turn", "4s"],
                       impaired={"delay": "50ms", "loss": 0, "small_packets": False}),
        ],
        [
            Must("ws against bare TCP", "64 KiB", WS, "tcp", rate, at_least=0.9),
            Must("quic against bare quinn", "64 KiB", QUIC, "quic", rate, at_least=0.9),
        ],
        [rate],
    ),
    Row(
        "loss",
        "50 ms on each leg, each way, 1 % loss, MTU 1500, no offload, 8 pairs: rate",
        [
            throughput("64 KiB", [WS, "tcp", QUIC, "quic"], 65_536, 8, flags=[*FAR, "--turn", "8s"],
                       impaired={"delay": "50ms", "loss": 1, "small_packets": True}),
        ],
        [
            Must("ws against bare TCP", "64 KiB", WS, "tcp", rate, at_least=0.9),
            Must("quic against bare quinn", "64 KiB", QUIC, "quic", rate, at_least=0.9),
        ],
        [rate],
    ),
    Row(
        "idle",
        "KiB of resident memory for each of 1,000 idle pairs",
        [Load(name, [relay], ["idle", "--pairs", 1_000, "--warm-up", "1500ms", "--turn", "1s"], 3, anew=True) for name, relay in [("WS", WS), ("WSS", WSS), ("QUIC", QUIC)]],
        [
            Must(name, name, relay, None, number("kib_each"), at_most=most, unit="KiB")
            for name, relay, most in [("WS", WS, 6), ("WSS", WSS, 24), ("QUIC", QUIC, 60)]
        ],
    ),
    Row(
        "stalled",
        "KiB of resident memory for each of 50 pairs whose receiver does not read",
        [Load(name, [relay], ["stalled", "--pairs", 50, "--size", 16_384, "--warm-up", "1500ms", "--turn", "4s"], 3, anew=True)
         for name, relay in [("WS", WS), ("WSS", WSS), ("QUIC", QUIC)]],
        [
            Must(name, name, relay, None, number("kib_each"), at_most=256, unit="KiB")
            for name, relay in [("WS", WS), ("WSS", WSS), ("QUIC", QUIC)]
        ],
    ),
    Row(
        "wss",
        "WSS→WSS, 50 pairs: CPU",
        sizes([WSS, "wss"], [64, 16_384, 65_536]),
        against("against bare TLS WebSocket", WSS, "wss", cpu_per_gigabyte, {"64 B": 1.3, "16 KiB": 1.1, "64 KiB": 1.1}),
        [cpu_per_gigabyte],
    ),
    Row(
        "ends",
        "send→receive, 1 GB",
        [],
        [
            Must("ws: MB/s against nc–socat–nc", "1 GB", "peersox ws", "nc-socat-nc", number("mb_s"), at_least=0.38),
            Must("ws: CPU-s against nc–socat–nc", "1 GB", "peersox ws", "nc-socat-nc", number("cpu_s"), at_most=2.6),
            Must("quic: MB/s against nc–socat–nc", "1 GB", "peersox quic", "nc-socat-nc", number("mb_s"), at_least=0.25),
            Must("quic: CPU-s against nc–socat–nc", "1 GB", "peersox quic", "nc-socat-nc", number("cpu_s"), at_most=4.5),
        ],
        [number("mb_s"), number("cpu_s")],
    ),
    Row(
        "sealing",
        "sealing, native",
        [],
        [
            Must("the largest record", "largest", "seal", None, number("gib_s"), at_least=1.4, unit="GiB/s"),
            Must("a record of 64 bytes", "64 B", "seal", None, number("us"), at_most=0.4, unit="µs"),
        ],
    ),
    Row(
        "pairs",
        "every pair of transports, 50 pairs",
        sizes([f"ours-{pair}" for pair in ["ws-ws", "ws-quic", "quic-ws", "quic-quic", "wss-wss", "wss-quic", "quic-wss"]],
              SIZES, rounds=5),
        [],
        [cpu_per_message, cpu_per_gigabyte, rate],
    ),
    Row(
        "rivals",
        "others, 50 pairs",
        sizes([WS, "tcp", "haproxy", "node-ws", "peersox-0.3"], SIZES, rounds=5),
        [],
        [cpu_per_message, cpu_per_gigabyte],
    ),
    Row("setups", "pairings and set-ups", [], []),
]
