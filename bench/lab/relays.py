"""How each relay is started that is measured, and how the generator names it."""

import contextlib
import pathlib
import subprocess
import sys
import tempfile

from lab import machine
from lab.machine import OUT, PROCESSORS, RELEASE, ROOT

REFERENCES = ["tcp", "ws", "wss", "quic"]

# What the rivals need. The bench goes on without those that are not there.
RIVALS = {
    "node-ws": ["node", "npm"],
    "peersox-0.3": ["node", "npm", "redis-server"],
    "haproxy": ["haproxy"],
}


def available(names):
    """Those of these relays that this machine can start; says which it cannot."""
    there = []
    for name in names:
        missing = machine.missing(*RIVALS.get(name, []), *["openssl"] * ("ours-wss" in name))
        if not missing and name in ["node-ws", "peersox-0.3"] and not packages(name):
            missing = ["its npm packages"]
        if missing:
            print(f"{name} is left out: {', '.join(missing)} is missing", file=sys.stderr)
        else:
            there.append(name)
    return there


def packages(name):
    """The folder of a rival of npm, installed; none where there is no registry."""
    folder = ROOT / "bench" / {"node-ws": "rivals/node-ws", "peersox-0.3": "ancestor"}[name]
    try:
        return machine.installed(folder)
    except (subprocess.CalledProcessError, OSError):
        return None


class Relays:
    """Relays that all run, each pinned to the first processor. Redis, of PeerSox 0.3, has the last one."""

    def __init__(self, names):
        self.names = names
        self.processes = []
        self.ports = []
        self.arguments = []
        self.pids = []

    def __enter__(self):
        self.folder = contextlib.ExitStack()
        self.path = pathlib.Path(self.folder.enter_context(tempfile.TemporaryDirectory(dir=OUT)))
        self.log = self.folder.enter_context(open(OUT / "servers.log", "a", encoding="utf-8"))
        try:
            for name in self.names:
                self.begin(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        machine.stop(self.processes)
        self.folder.close()

    def begin(self, name):
        port = machine.free_port()
        if name in REFERENCES:
            command = [RELEASE / "peersox-bench", "reference", name, "--listen", f"127.0.0.1:{port}"]
            form = f"{name}@127.0.0.1:{port}"
        elif name.startswith("ours-"):
            command, form = self.ours(port, *name.split("-")[1:])
        elif name == "node-ws":
            command, form = ["node", packages(name) / "relay.js", port], f"ws@127.0.0.1:{port}"
        elif name == "peersox-0.3":
            command, form = self.ancestor(port)
        elif name == "haproxy":
            command, form = self.haproxy(port)
        else:
            raise ValueError(f"no relay is called {name}")
        process = self.start(command, PROCESSORS[0])
        self.ports.append(port)
        self.pids.append(process.pid)
        self.arguments += ["--target", f"{name}={form}", "--pid", f"{name}={process.pid}"]
        if name != "quic":
            # QUIC has nothing to ask; its clients ask again until the relay is there.
            machine.until(lambda: machine.listens(port))

    def start(self, command, processor):
        process = machine.start(command, processor, self.log)
        self.processes.append(process)
        return process

    def ours(self, port, one, two):
        command = [RELEASE / "peersox", "serve", "--listen", f"127.0.0.1:{port}", "--unmetered", "127.0.0.0/8"]
        # A thousand pairs over QUIC do not get in with the 512 MiB that a relay has if nobody says more.
        command += ["--log", "warn", "--relay-memory", 4 << 30]
        scheme = "http"
        if "wss" in (one, two):
            scheme = "https"
            certificate, key = self.certificate()
            command += ["--tls-cert", certificate, "--tls-key", key]
        legs = "/".join(it.replace("wss", "ws") for it in (one, two))
        return command, f"peersox/{legs}@{scheme}://127.0.0.1:{port}"

    def certificate(self):
        certificate, key = self.path / "certificate.pem", self.path / "key.pem"
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "7",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-keyout", key, "-out", certificate]
        subprocess.run(make, stderr=subprocess.DEVNULL, check=True)
        return certificate, key

    def ancestor(self, port):
        redis = machine.free_port()
        flags = ["--port", redis, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.path]
        self.start(["redis-server", *flags], PROCESSORS[-1])
        machine.until(lambda: machine.listens(redis))
        return ["node", packages("peersox-0.3") / "server.js", port, redis], f"ancestor@http://127.0.0.1:{port}"

    def haproxy(self, port):
        backend = machine.free_port()
        settings = self.path / "haproxy.cfg"
        settings.write_text(
            "global\n  nbthread 1\n"
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
            f"listen relay\n  bind 127.0.0.1:{port}\n  server backend 127.0.0.1:{backend}\n",
            encoding="utf-8",
        )
        return ["haproxy", "-f", settings], f"proxy/{backend}@127.0.0.1:{port}"
