"""What a run tells: the table beside its musts, on the terminal and in docs/performance.md."""

import os
import pathlib
import platform
import statistics

from lab.machine import OUT, ROOT
from lab.results import Results, judgement, short
from lab.rows import ROWS, UNITS

DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def compare(turns):
    """Prints each must; tells whether all hold."""
    fine = True
    for row in ROWS:
        results = Results.of(row.name, turns)
        for must in row.musts:
            (shown, ours, beside), holds = judgement(must, results)
            fine &= holds is True
            mark = {True: "✓", False: "✗", None: "?"}[holds]
            print(f"{mark} {row.name:<10} {row.title}: {must.what}: {shown}, must {must.bound()}  [{ours} / {beside}]")
    return fine


def fill(turns):
    """Writes the tables between the marks of the page."""
    page = DOCUMENT.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    measured = "\n\n".join([origin(turns), musts(turns), losses(turns), details(turns)])
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}", encoding="utf-8")
    (OUT / "table.md").write_text(f"{measured}\n", encoding="utf-8")


def origin(turns):
    dates = sorted({turn["date"] for turn in turns})
    commits = sorted({turn["commit"] for turn in turns})
    lines = [
        f"Measured on {' and '.join(dates)} by `bench/measure`, commit {', '.join(commits)}.",
        f"Machine: {machine()}.",
    ]
    return " ".join(lines)


def machine():
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), platform.machine())
    kernel = platform.release().split("-")[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    control = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text(encoding="utf-8").strip()
    return f"{os.cpu_count()} processors ({model}), {memory:.0f} GiB, Linux {kernel}, whose TCP uses {control}; quinn uses CUBIC"


def musts(turns):
    lines = ["| row | measured | | must | measured (quartiles) | ours | beside |", "|---|---|---|---|---|---|---|"]
    for row in ROWS:
        results = Results.of(row.name, turns)
        for must in row.musts:
            cells, holds = judgement(must, results)
            mark = {True: "✓", False: "✗", None: "?"}[holds]
            cells = [f"`{row.name}`", f"{row.title}; {must.what}", mark, must.bound() + (f" {must.unit}" if must.unit else ""), *cells]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def losses(turns):
    """Where a must is missed."""
    missed = []
    for row in ROWS:
        results = Results.of(row.name, turns)
        for must in row.musts:
            (shown, _, _), holds = judgement(must, results)
            if holds is False:
                missed.append(f"- `{row.name}`, {must.what}: {shown}, must {must.bound()}.")
    return "**Missed:**\n\n" + "\n".join(missed) if missed else "**Missed:** nothing."


def details(turns):
    parts = []
    for row in ROWS:
        results = Results.of(row.name, turns)
        if row.name == "setups":
            parts.append(setups(results))
        elif row.figures and results.turns:
            parts.extend(detail(row, results, figure) for figure in row.figures)
    return "\n\n".join(part for part in parts if part)


def detail(row, results, figure):
    """One line for each relay, one column for each load: medians of the rounds."""
    loads = results.loads()
    targets = list(dict.fromkeys(target for load in loads for target in results.targets(load)))
    name = UNITS.get(figure) or next((said for name, said in NAMES.items() if figure_is(figure, name)), "")
    lines = [f"`{row.name}`: {name}, medians{disturbance(results)}.", "", f"| | {' | '.join(loads)} |", "|---" * (len(loads) + 1) + "|"]
    for target in targets:
        cells = [short(results.median(load, target, figure)) for load in loads]
        lines.append(f"| {target} | {' | '.join(cells)} |")
    return "\n".join(lines)


NAMES = {
    "p50_us": "median of the round trip in µs",
    "p99_us": "99 % of the round trips are shorter, in µs",
    "p999_us": "99.9 % of the round trips are shorter, in µs",
    "mb_s": "MB/s",
    "cpu_s": "CPU-s, both ends and the relay",
}


def figure_is(figure, name):
    try:
        return figure({name: name}) == name
    except KeyError:
        return False


def disturbance(results):
    """How much of a processor jobs of others took meanwhile."""
    shares = [turn["others_seconds"] / turn["seconds"] for turn in results.turns if "others_seconds" in turn]
    return f"; others took {100 * statistics.median(shares):.0f} % of a processor" if shares else ""


def setups(results):
    """Pairings and set-ups, by bench/run."""
    kinds = list(dict.fromkeys(turn["load"] for turn in results.turns))
    if not kinds:
        return ""
    each = lambda turn: sum(it["micros_each"] for name, it in turn["cpu"].items() if name not in ("generator", "redis"))
    lines = ["`setups`: per second, and µs of one core for each, medians.", "", f"| | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    for target in list(dict.fromkeys(turn["target"] for turn in results.turns)):
        cells = []
        for kind in kinds:
            rate, cpu = results.median(kind, target, lambda turn: turn["per_second"]), results.median(kind, target, each)
            cells.append(f"{short(rate)} · {short(cpu)} µs" if rate else "–")
        lines.append(f"| {target} | {' | '.join(cells)} |")
    return "\n".join(lines)
