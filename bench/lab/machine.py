"""This machine: its processors, who uses them, ports, and processes that are measured."""

import contextlib
import http.client
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RELEASE = TARGET / "release"
OUT = ROOT / "target" / "bench"
PROCESSORS = sorted(os.sched_getaffinity(0))

# Set in a network namespace of our own, where nothing can be downloaded.
INSIDE = "PEERSOX_BENCH_INSIDE"

# So much of a processor may be used by others while something is measured.
DISTURBED = 0.1


def start(command, processor, log, inside=None):
    """A process on one processor, in a session of its own, which the system prefers where it lets us say so."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PEERSOX_")}
    command = ["taskset", "-c", str(processor), *map(str, command)]
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=inside, start_new_session=True)
    prefer(process.pid)
    return process


def prefer(pid):
    """Ranks the session of a process above the jobs of others. Root may."""
    with contextlib.suppress(OSError):
        pathlib.Path(f"/proc/{pid}/autogroup").write_text("-10", encoding="utf-8")


def real_time(pids):
    """Nobody else's job delays these. For latencies only: they rest most of the time. Root may."""
    for pid in pids:
        subprocess.run(["chrt", "-a", "-f", "-p", "1", str(pid)], stderr=subprocess.DEVNULL, check=False)


def stop(processes):
    for process in reversed(processes):
        process.terminate()
    for process in processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def many_files():
    """A thousand pairs are two thousand sockets, on each side."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def busy():
    """Seconds that the processors were busy, and the time."""
    numbers = pathlib.Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, interrupts, soft = (int(it) for it in numbers[:7])
    return (user + nice + system + interrupts + soft) / 100, time.monotonic()


def until_quiet(seconds):
    """Waits for a second in which less than a tenth of a processor is used."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = busy()[0]
        time.sleep(1)
        if busy()[0] - before < DISTURBED:
            return


def used(pid):
    """Seconds of processor time of a process and of its threads that ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port():
    """A port for TCP and UDP below those that the system chooses from, or a connection of the load could take it."""
    for port in range(20_000 + os.getpid() % 1_000 * 10, 32_000):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in USED:
                USED.add(port)
                return port
    sys.exit("no port is free")


USED = set()


def get(url, path):
    """What a server answers with 200, its headers included."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read().decode(errors="replace")
    return response.status == 200 and f"{response.headers}{body}"


def listens(port):
    return socket.create_connection(("127.0.0.1", port)).close() is None


def until(is_so):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if is_so():
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit("a server is not ready within 30 s; target/bench/servers.log has what it said")


def missing(*programs):
    """Which of these programs this machine does not have."""
    return [program for program in programs if not shutil.which(program)]


def environment(name, packages):
    """A Python environment with packages of PyPI; none if they cannot be had."""
    folder = OUT / name
    if (folder / "complete").exists():
        return folder
    if INSIDE in os.environ:
        return None
    install = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], stdout=sys.stderr, check=True)
        subprocess.run(install, stdout=sys.stderr, check=True, timeout=300)
    except (OSError, subprocess.SubprocessError):
        print(f"{name} is left out: {', '.join(packages)} cannot be installed", file=sys.stderr)
        return None
    (folder / "complete").touch()
    return folder


def installed(folder):
    """A folder of bench/ with its npm packages. What they would run while they are installed is not run."""
    there = OUT / folder.name
    shutil.copytree(folder, there, dirs_exist_ok=True)
    if not (there / "node_modules").exists():
        if INSIDE in os.environ:
            raise OSError("nothing can be downloaded")
        install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(install, cwd=there, stdout=sys.stderr, check=True)
    return there
