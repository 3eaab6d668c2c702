"""The network between relays and their peers: the loopback of a namespace of our own, and how it is made worse."""

import contextlib
import os
import subprocess
import sys

from lab import machine
from lab.machine import INSIDE, OUT, PROCESSORS, RELEASE


def of_our_own():
    """Begins this program again where no port is taken, and where rules about packets concern nobody else."""
    if INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    who = [] if os.geteuid() == 0 else ["--map-root-user"]
    alone = ["unshare", "--net", *who]
    if machine.missing("unshare", "ip") or subprocess.run([*alone, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        print("no network namespace can be made here: the rows with delay and loss are left out", file=sys.stderr)
        return
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*alone, sys.executable, *sys.argv])


def can_be_impaired():
    """Why packets cannot be delayed here; nothing if they can."""
    if INSIDE not in os.environ:
        return "no network namespace"
    missing = machine.missing("iptables", "ethtool")
    if missing:
        return f"{', '.join(missing)} is missing"
    rule = ["-p", "udp", "--dport", "1", "-j", "NFQUEUE", "--queue-num", "0"]
    tried = subprocess.run(["iptables", "-A", "INPUT", *rule], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["iptables", "-F", "INPUT"], stderr=subprocess.DEVNULL, check=False)
    return "" if tried.returncode == 0 else "the kernel has no NFQUEUE"


@contextlib.contextmanager
def impaired(ports, delay, loss, small_packets):
    """All packets to and from these ports take longer, and some are lost."""
    log = open(OUT / "servers.log", "a", encoding="utf-8")
    judge = [RELEASE / "peersox-bench", "impair", "--delay", delay, "--loss", str(loss)]
    judge = machine.start(judge, PROCESSORS[-1], log)
    machine.real_time([judge.pid])
    shape(1500 if small_packets else 65_536, "off" if small_packets else "on")
    try:
        for port in ports:
            for protocol in ["tcp", "udp"]:
                for side in ["--dport", "--sport"]:
                    rule = ["-p", protocol, side, str(port), "-j", "NFQUEUE", "--queue-num", "0"]
                    subprocess.run(["iptables", "-A", "INPUT", *rule], check=True)
        yield
    finally:
        subprocess.run(["iptables", "-F", "INPUT"], check=False)
        machine.stop([judge])
        shape(65_536, "on")
        log.close()


def shape(largest, offload):
    """How large a packet is, and whether the kernel makes one of several."""
    subprocess.run(["ip", "link", "set", "lo", "mtu", str(largest)], check=True)
    kinds = ["tso", "gso", "gro", "tx-udp-segmentation"]
    command = ["ethtool", "-K", "lo", *[word for kind in kinds for word in (kind, offload)]]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
