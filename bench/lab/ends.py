"""A file of 1 GB from one program to another: `peersox send` to `peersox receive` through a relay, beside nc, socat and
nc, and beside magic-wormhole where its packages can be had. All of it in memory, nothing is pinned."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from lab import machine
from lab.machine import OUT, RELEASE, ROOT

GIGABYTE = 1_000_000_000


def measure(rounds, size=GIGABYTE):
    """A turn of each in each round."""
    for program, package in [("socat", "socat"), ("nc.openbsd", "netcat-openbsd")]:
        if machine.missing(program):
            subprocess.run([ROOT / "scripts" / "apt-install", package], stdout=sys.stderr, check=True)
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared) as folder, open(OUT / "servers.log", "a", encoding="utf-8") as log:
        ends = Ends(pathlib.Path(folder), size, log)
        ways = {"nc-socat-nc": ends.plain, "peersox ws": lambda: ends.peersox("ws"), "peersox quic": lambda: ends.peersox("quic")}
        if wormhole():
            ways["magic-wormhole"] = ends.wormhole
        for turn in range(rounds):
            for name, way in ways.items():
                print(f"  round {turn + 1}: {name}", file=sys.stderr)
                yield {"load": "1 GB", "round": turn, "target": name, **way()}


class Ends:
    def __init__(self, folder, size, log):
        self.source, self.copy = folder / "source", folder / "copy"
        self.size, self.log = size, log
        with open(self.source, "wb") as source:
            for _ in range(0, size, 1 << 20):
                source.write(os.urandom(1 << 20))
            source.truncate(size)

    def plain(self):
        first, second = machine.free_port(), machine.free_port()
        with open(self.copy, "wb") as copy, open(self.source, "rb") as source:
            receiver = self.start(["nc.openbsd", "-l", "127.0.0.1", second], stdout=copy)
            relay = ["socat", "-b", "65536", f"TCP-LISTEN:{first},bind=127.0.0.1,reuseaddr", f"TCP:127.0.0.1:{second}"]
            relay = self.start(relay)
            # What listens once cannot be asked whether it listens.
            time.sleep(0.5)
            begin = time.monotonic()
            sender = self.start(["nc.openbsd", "-N", "127.0.0.1", first], stdin=source)
            cpu = {"sender": reap(sender), "relay": reap(relay), "receiver": reap(receiver)}
        return self.told(begin, cpu)

    def peersox(self, transport):
        port = machine.free_port()
        url = f"http://127.0.0.1:{port}"
        server = self.start([RELEASE / "peersox", "serve", "--listen", f"127.0.0.1:{port}", "--log", "warn"])
        try:
            machine.until(lambda: machine.get(url, "/readyz"))
            common = ["--json", "--server", url, "--transport", transport]
            before = machine.used(server.pid)
            sender = [RELEASE / "peersox", "send", *common, self.source]
            sender = self.start(sender, stderr=subprocess.PIPE)
            code = until_code(sender.stderr)
            with open(self.copy, "wb") as copy:
                begin = time.monotonic()
                receiver = [RELEASE / "peersox", "receive", *common, "--yes", "--overwrite", "--output", "-", code]
                receiver = self.start(receiver, stdout=copy)
                cpu = {"receiver": reap(receiver), "sender": reap(sender)}
            told = self.told(begin, {**cpu, "relay": machine.used(server.pid) - before})
        finally:
            machine.stop([server])
        return told

    def wormhole(self):
        programs = wormhole() / "bin"
        mailbox, transit = machine.free_port(), machine.free_port()
        servers = [
            # They leave a database where they are started.
            self.start([programs / "twist", "wormhole-mailbox", f"--port=tcp:{mailbox}:interface=127.0.0.1"], cwd=self.source.parent),
            self.start([programs / "twist", "transitrelay", f"--port=tcp:{transit}:interface=127.0.0.1"], cwd=self.source.parent),
        ]
        try:
            for port in [mailbox, transit]:
                machine.until(lambda port=port: machine.listens(port))
            before = sum(machine.used(it.pid) for it in servers)
            common = [programs / "wormhole", "--relay-url", f"ws://127.0.0.1:{mailbox}/v1", "--transit-helper", f"tcp:127.0.0.1:{transit}"]
            begin = time.monotonic()
            sender = self.start([*common, "send", "--no-listen", "--hide-progress", "--code", "7-a-b", self.source])
            receiver = ["receive", "--no-listen", "--hide-progress", "--accept-file", "-o", self.copy, "7-a-b"]
            self.copy.unlink(missing_ok=True)
            receiver = self.start([*common, *receiver])
            cpu = {"sender": reap(sender), "receiver": reap(receiver)}
            return self.told(begin, {**cpu, "relay": sum(machine.used(it.pid) for it in servers) - before})
        finally:
            machine.stop(servers)

    def start(self, command, **more):
        more = {"stdout": self.log, "stderr": self.log, **more}
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PEERSOX_")}
        process = subprocess.Popen([*map(str, command)], env=environment, start_new_session=True, **more)
        machine.prefer(process.pid)
        return process

    def told(self, begin, cpu):
        seconds = time.monotonic() - begin
        came = self.copy.stat().st_size
        if came != self.size:
            raise RuntimeError(f"{came} bytes came of {self.size}")
        return {"seconds": seconds, "mb_s": self.size / 1e6 / seconds, "cpu_s": sum(cpu.values()), "cpu": cpu}


def until_code(lines):
    """The code that `peersox send --json` shows; what it says afterwards is read and forgotten."""
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if said.get("event") == "code":
            threading.Thread(target=lines.read, daemon=True).start()
            return said["code"]
    raise RuntimeError("peersox send has shown no code")


def reap(process):
    """Waits for a process; tells how much processor time it used."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def wormhole():
    """Where magic-wormhole and its servers are installed; nothing if they cannot be had."""
    return machine.environment("magic-wormhole", WORMHOLE)


WORMHOLE = ["magic-wormhole==0.24.0", "magic-wormhole-mailbox-server==0.8.0", "magic-wormhole-transit-relay==0.5.0"]
