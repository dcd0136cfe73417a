"""Draws the jobs' figures: `python -m harness.plot FIGURES.json PLOT.svg`."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams.update({"svg.hashsalt": "stepwell", "svg.fonttype": "none", "font.size": 8})
from matplotlib import pyplot  # noqa: E402

from harness import systems  # noqa: E402
from harness.report import TITLES, median  # noqa: E402

OWN, PEER = "#c2410c", "#94a3b8"
UNITS = {"wall_seconds": ("wall seconds", 1), "cpu_seconds": ("CPU seconds", 1), "peak_bytes": ("peak memory, MB", 1e6)}


def main(figures_file: str, plot_file: str) -> None:
    entries = json.loads(Path(figures_file).read_text())["jobs"]
    jobs = [job for job in systems.JOBS if job in entries]
    counts = sorted({cores for entry in entries.values() for cores in entry["cores"]}, key=int)
    # Time is what more cores buy; work and memory are told for the fewest.
    rows = [("wall_seconds", counts[-1]), ("cpu_seconds", counts[0]), ("peak_bytes", counts[0])]
    figure, axes = pyplot.subplots(len(rows), len(jobs), figsize=(2.3 * len(jobs) + 0.8, 5.4), squeeze=False)
    for row, (measure, cores) in enumerate(rows):
        for column, job in enumerate(jobs):
            draw(axes[row][column], entries[job]["cores"].get(cores, {}), measure)
            axes[row][column].set_yticks(
                range(len(systems.SYSTEMS)),
                [TITLES[name].strip("*") if column == 0 else "" for name in systems.SYSTEMS],
            )
        name, _ = UNITS[measure]
        axes[row][0].set_ylabel(f"{name}\n{cores} core{'s' if cores != '1' else ''}")
    for column, job in enumerate(jobs):
        axes[0][column].set_title(f"{job}\n{wrapped(systems.JOBS[job])}", fontsize=7.5)
    figure.tight_layout()
    figure.savefig(plot_file, metadata={"Date": None})


def wrapped(title: str) -> str:
    head, _, tail = title.partition(", ")
    return f"{head},\n{tail}" if tail else f"{head}\n"


def draw(axis, results: dict, measure: str) -> None:
    _, unit = UNITS[measure]
    values = [median(results.get(name), measure) for name in systems.SYSTEMS]
    shown = [(value or 0) / unit for value in values]
    axis.barh(range(len(shown)), shown, color=[OWN] + [PEER] * len(systems.PEERS))
    largest = max(shown) or 1
    for position, (name, value) in enumerate(zip(systems.SYSTEMS, values, strict=True)):
        text = f"{value / unit:.3g}" if value is not None and value / unit < 1000 else f"{(value or 0) / unit:.0f}"
        if value is None:
            text = next((word for word in ("cannot", "failed") if word in results.get(name, {})), "–")
        axis.text(shown[position] + largest * 0.02, position, text, va="center", fontsize=7)
    axis.set_xlim(0, largest * 1.22)
    axis.invert_yaxis()
    axis.set_xticks([])
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    axis.tick_params(left=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
