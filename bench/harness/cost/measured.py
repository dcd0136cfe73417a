"""Measures the usage of runs on this machine, as their reports tell it."""

import argparse
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from harness import cli, data, environment, machine, measure, systems

RUNS = 3
SMALL_BYTES = 10_000
MEMBERS = 1000


def measure_usage(binary: Path, spec: Path, files: list[Path], once: bool) -> dict:
    """One run on one core in a fresh directory; `once` of all files in a batch. The times of its stages are brought to the CPU time of the process: what
    else the machine does meanwhile is not the run's."""
    folder = environment.OUTPUT / "cost"
    shutil.rmtree(folder, ignore_errors=True)
    if once:
        landing = folder / "landing" / "lineitem"
        landing.mkdir(parents=True)
        for file in files:
            shutil.copy(file, landing)
        line = ["serve", "--once", "--address", "127.0.0.1:0", "--pipelines", spec.parent, "--dir", folder]
    else:
        line = ["run", spec, *files, "--dir", folder, "--json"]
    cores = measure.available_cores()[:1]
    before, began = os.times(), time.monotonic()
    pinned = ["taskset", "--cpu-list", str(cores[0]), binary, *line]
    subprocess.run(pinned, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.monotonic() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    reports = list((folder / "work" / "runs").glob("*/*/report.json"))
    assert len(reports) == 1, reports
    report = json.loads(reports[0].read_text())
    stages = report["cost"]["usage"]["stages"]
    # Of `serve` the CPU time is that of `trigger`, too, and cannot tell of the stages.
    factor = 1.0 if once else min(1.0, cpu / wall)
    for stage in stages:
        stage["billed_ms"] = max(1, round(stage["billed_ms"] * factor))
        stage["gb_seconds"] = round(stage["billed_ms"] / 1000 * stage["memory_mib"] / 1024, 4)
    shutil.rmtree(folder)
    return {
        "bytes_loaded": report["bytes_loaded"],
        "bytes_read": report["bytes_read"],
        "cpu_seconds": round(cpu, 2),
        "files": len(report["files"]),
        "records_loaded": report["records_loaded"],
        "usage": {"stages": stages, "transitions": report["cost"]["usage"]["transitions"]},
    }


def best(binary: Path, spec: Path, files: list[Path], once: bool = False, runs: int = RUNS) -> dict:
    """The run that took the least CPU time."""
    measured = [measure_usage(binary, spec, files, once) for _ in range(runs)]
    return min(measured, key=lambda run: run["cpu_seconds"])


def pieces(large: Path, folder: Path, count: int) -> list[Path]:
    """Files of 10 kB, each with the header and records of its own."""
    made = []
    with large.open("rb") as lines:
        header = lines.readline()
        for number in range(count):
            piece = folder / f"piece-{number:04}.csv"
            with piece.open("wb") as file:
                file.write(header)
                while file.tell() < SMALL_BYTES:
                    file.write(lines.readline())
            made.append(piece)
    return made


def measure_runs(binary: Path | None) -> None:
    """Measures the runs that the model is made of, and keeps their usage in docs/cost.json."""
    binary = (binary or cli.stepwell(argparse.Namespace(binary=None))).resolve()
    folder = environment.OUTPUT / "cost-files"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "specs").mkdir(parents=True)
    large = data.lineitem(1.0)
    spec = systems.spec("J1")
    batched = folder / "specs" / "lineitem.yaml"
    text = spec.read_text()
    batched.write_text(text.replace("  format: csv\n", f"  format: csv\n  batch: {{ max_files: {MEMBERS}, max_wait: 10m }}\n"))
    files = pieces(large, folder, MEMBERS)
    found = {
        "commit": machine.commit(),
        "measured": machine.today(),
        "machine": machine.machine(),
        "large": best(binary, spec, [large]),
        "small": best(binary, spec, files[:1]),
        "batch": {"members": MEMBERS, **best(binary, batched, files, once=True, runs=1)},
    }
    (environment.DOCS / "cost.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(folder)
