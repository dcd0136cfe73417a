"""Runs the jobs: all systems in turn, round by round, and compares every system's output with what it must be."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import environment, measure, systems


@contextmanager
def fresh_folder(name: str) -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    folder = environment.OUTPUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_once(file: Path) -> None:
    """Brings a file into the page cache, so that no system pays for the first reading."""
    with file.open("rb", buffering=0) as opened:
        while opened.read(1 << 20):
            pass


def differences(job: str, expected: dict, output: systems.Output) -> list[str]:
    """What in an output is not as it must be."""
    arguments = ["table", job, output.table, *([output.rejects] if job == "J4" else [])]
    try:
        found = json.loads(environment.run_module("harness.verify", *arguments))
    except subprocess.CalledProcessError:
        return ["the output cannot be read"]
    names = [name for name in expected if name != "columns" and expected[name] != found.get(name)]
    columns = expected["columns"]
    return names + [name for name in columns if columns[name] != found["columns"][name]]


def table_size(table: Path) -> tuple[int, int]:
    """Number and bytes of a table's Parquet files."""
    sizes = [file.stat().st_size for file in table.rglob("*.parquet")]
    return len(sizes), sum(sizes)


class JobRunner:
    """Runs one job on a number of cores and gathers what it took each system."""

    def __init__(self, job: str, sizes: systems.Sizes, cores: list[int], binary: Path) -> None:
        self._job, self._cores, self._binary = job, cores, binary
        self._file = systems.source(job, sizes)
        self._expected = systems.expected(job, sizes)
        self.results: dict[str, dict] = {}

    def run(self, names: list[str], rounds: int) -> dict[str, dict]:
        """Runs the systems in turn. Each round begins with another one, so that none always follows the same."""
        read_once(self._file)
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                self._run_once(name)
        return self.results

    def _run_once(self, system: str) -> None:
        result = self.results.setdefault(system, {"wall_seconds": [], "cpu_seconds": [], "peak_bytes": []})
        if reason := systems.CANNOT.get((system, self._job)):
            result["cannot"] = reason
        if "cannot" in result or "failed" in result:
            return
        with fresh_folder(f"{self._job}-{system}") as folder:
            command = systems.command(system, self._job, self._file, folder, len(self._cores), self._binary)
            # What the one before wrote shall not be written to the disk at this one's expense.
            os.sync()
            try:
                measured, printed = measure.run(command.line, folder, command.variables, self._cores)
            except measure.Failed as failure:
                result["failed"] = str(failure)
                print(f"  {self._job} {len(self._cores)} cores {system:<10} failed: {failure}", flush=True)
                return
            result["wall_seconds"].append(measured.wall_seconds)
            result["cpu_seconds"].append(measured.cpu_seconds)
            result["peak_bytes"].append(measured.peak_bytes)
            self._check(system, result, systems.output(system, folder, printed))
        print(
            f"  {self._job} {len(self._cores)} cores {system:<10} {measured.wall_seconds:8.2f} s wall "
            f"{measured.cpu_seconds:8.2f} s CPU {measured.peak_bytes / 1e6:8.0f} MB",
            flush=True,
        )

    def _check(self, system: str, result: dict, output: systems.Output) -> None:
        files, size = table_size(output.table)
        result["files"], result["bytes"] = files, size
        # Reading a table back takes longer than some systems take to write it: once is enough.
        if result.get("checked"):
            return
        result["checked"] = True
        if wrong := differences(self._job, self._expected, output):
            result["failed"] = "wrong output: " + ", ".join(wrong)
            print(f"  {self._job} {system}: {result['failed']}", flush=True)
