"""Runs the cases of the Autobahn TestSuite against the example server of codec/.

The cases of compression (12 and 13) are left out: what peers send is encrypted, so a relay compresses nothing.

usage: autobahn.py PATH-OF-ECHO
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

# How many cases there are without compression, so that a suite that runs fewer is noticed.
CASES = 301
# Text that is no UTF-8 in a message of pieces: the codec tells it at the end of the message, which RFC 6455 permits.
TOLD_LATE = {"6.4.1", "6.4.2", "6.4.3", "6.4.4"}


def main() -> int:
    echo = subprocess.Popen([sys.argv[1], "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        address = echo.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder:
            suite = [Path(sys.executable).with_name("kosoku"), "-x", "12.*", "-x", "13.*", "-p", "4"]
            subprocess.run([*suite, "-o", folder, f"ws://{address}"], stdout=subprocess.DEVNULL)
            reports = json.loads(Path(folder, "index.json").read_text())
    finally:
        echo.kill()
    (cases,) = reports.values()
    wrong = [
        f"{case}: {report['behavior']}, closed: {report['behaviorClose']}"
        for case, report in cases.items()
        if not is_right(case, report)
    ]
    print(f"{len(cases)} cases: {dict(Counter(it['behavior'] for it in cases.values()))}")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return int(bool(wrong) or len(cases) != CASES)


def is_right(case: str, report: dict[str, str]) -> bool:
    told_late = case in TOLD_LATE and report["behavior"] == "NON-STRICT"
    behaved = told_late or report["behavior"] in ("OK", "INFORMATIONAL")
    return behaved and report["behaviorClose"] in ("OK", "INFORMATIONAL")


if __name__ == "__main__":
    sys.exit(main())
