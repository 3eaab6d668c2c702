"""Two Python programs talk over one encrypted channel: each runs `peersox connect` and speaks through its pipes.

    pipe.py                                           pipe.py 481920-tulip-ember
      | stdin, stdout                                          stdout, stdin |
    peersox connect --json  <=== relay, direct path ===>  peersox connect --json CODE

usage: pipe.py [CODE]
"""

import json
import subprocess
import sys


def connect(*code):
    """Starts `peersox connect`, which shows a code if it is given none."""
    command = ["peersox", "connect", "--json", *code]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)


def event(process, name):
    """Returns the next event of this name: each is a JSON object on a line of standard error."""
    for line in process.stderr:
        told = json.loads(line)
        if told["event"] == "error":
            raise RuntimeError(told["message"])
        if told["event"] == name:
            return told
    raise RuntimeError(f"it ended before it told {name}")


def main(*code):
    process = connect(*code)
    if not code:
        print("code:", event(process, "code")["code"], flush=True)
    print("both see:", event(process, "secured")["phrase"])
    heard, _ = process.communicate(b"hello from Python\n")
    print("heard:", heard.decode(), end="")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
