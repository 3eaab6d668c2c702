"""What was measured: one line of JSON for each turn, kept by row in target/bench/results.jsonl.

A row that is measured again takes the place of its earlier lines; so the table can be filled bit by bit.
"""

import json
import statistics

from lab.machine import OUT

FILE = OUT / "results.jsonl"


def load(file=FILE):
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def keep(row, turns, about, file=FILE):
    """Replaces what was measured of a row. The file is whole at any time."""
    others = [turn for turn in load(file) if turn["row"] != row]
    lines = others + [{"row": row, **about, **turn} for turn in turns]
    written = file.with_suffix(".new")
    written.write_text("".join(f"{json.dumps(it)}\n" for it in lines), encoding="utf-8")
    written.replace(file)


class Results:
    """The turns of one row."""

    def __init__(self, turns):
        self.turns = turns

    @classmethod
    def of(cls, row, turns):
        return cls([turn for turn in turns if turn["row"] == row])

    def targets(self, load):
        """Who was measured, in the order of the first round."""
        return list(dict.fromkeys(turn["target"] for turn in self.turns if turn["load"] == load))

    def loads(self):
        return list(dict.fromkeys(turn["load"] for turn in self.turns))

    def by_round(self, load, target, figure):
        mine = [turn for turn in self.turns if (turn["load"], turn["target"]) == (load, target)]
        return {turn["round"]: figure(turn) for turn in mine}

    def median(self, load, target, figure):
        values = self.by_round(load, target, figure).values()
        return statistics.median(values) if values else None

    def judged(self, must):
        """What a must is compared with: median and quartiles of the figure, or of its ratio in each round; none if
        one of the two was not measured."""
        ours = self.by_round(must.load, must.ours, must.figure)
        if must.beside is not None:
            beside = self.by_round(must.load, must.beside, must.figure)
            ours = {turn: value / beside[turn] for turn, value in ours.items() if beside.get(turn)}
        return spread(list(ours.values()))


def spread(values):
    """First quartile, median, third quartile."""
    if not values:
        return None
    if len(values) == 1:
        return (values[0],) * 3
    first, middle, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, middle, third


# ---- how numbers are written


def short(value):
    """Three digits that count."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def ratio(value):
    """Ratios far below one are read as parts."""
    return f"1/{1 / value:.0f}" if 0 < value < 0.1 else f"{value:.2f}×"


def judgement(must, results):
    """The cells of a line of the table, and whether the must holds; none if it was not measured."""
    judged = results.judged(must)
    if judged is None:
        return ["not measured", "–", "–"], None
    first, middle, third = judged
    write = ratio if must.beside else lambda value: f"{short(value)} {must.unit}"
    shown = write(middle) if len({first, middle, third}) == 1 else f"{write(middle)} ({write(first)} to {write(third)})"
    ours = short(results.median(must.load, must.ours, must.figure))
    beside = short(results.median(must.load, must.beside, must.figure)) if must.beside else "–"
    return [shown, ours, beside], must.holds(middle)
