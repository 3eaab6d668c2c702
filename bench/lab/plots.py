"""Plots of what was measured, by matplotlib from PyPI, in target/bench/*.svg: one for each figure of a row."""

import subprocess

from lab import machine
from lab.machine import OUT, ROOT
from lab.results import Results
from lab.rows import ROWS, UNITS

PACKAGE = "matplotlib==3.11.2"


def draw(turns):
    """Draws in a process of its own, with an interpreter that has the package."""
    environment = machine.environment("matplotlib", [PACKAGE])
    if environment and turns:
        draw = [environment / "bin" / "python", "-B", "-c", "from lab import plots, results; plots.all_of(results.load())"]
        subprocess.run(draw, cwd=ROOT / "bench", check=True)


def all_of(turns):
    import matplotlib

    matplotlib.use("svg")
    for row in ROWS:
        results = Results.of(row.name, turns)
        figures = row.figures or list(dict.fromkeys(must.figure for must in row.musts))[:1]
        if results.turns and row.musts + row.figures:
            for at, figure in enumerate(figures):
                plot(row, results, figure, OUT / f"{row.name}{f'-{at + 1}' if at else ''}.svg")


def plot(row, results, figure, file):
    """Bars of medians, with a point for each round, on a logarithmic axis if they are far apart."""
    from matplotlib import pyplot

    loads = results.loads()
    targets = list(dict.fromkeys(target for load in loads for target in results.targets(load)))
    picture, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    width, medians = 0.8 / len(targets), []
    for at, target in enumerate(targets):
        places, heights = [], []
        for place, load in enumerate(loads):
            values = list(results.by_round(load, target, figure).values())
            if not values:
                continue
            middle = place - 0.4 + (at + 0.5) * width
            places.append(middle)
            heights.append(results.median(load, target, figure))
            axes.plot([middle] * len(values), values, ".", color="black", markersize=2, zorder=3)
        axes.bar(places, heights, width * 0.9, label=target)
        medians += heights
    if medians and min(medians) > 0 and max(medians) / min(medians) > 20:
        axes.set_yscale("log")
    axes.set_xticks(range(len(loads)), loads)
    axes.set_ylabel(UNITS.get(figure, ""))
    axes.set_title(row.title, fontsize="medium")
    axes.legend(fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    picture.savefig(file)
    pyplot.close(picture)
