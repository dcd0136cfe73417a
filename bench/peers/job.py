"""What a peer is told: which job, from which file, into which folder, on how many threads."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Job(NamedTuple):
    """One run of one job."""

    source: str
    output: Path
    threads: int

    @property
    def table(self) -> str:
        """The folder that the Parquet files go into."""
        folder = self.output / "table"
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @property
    def file(self) -> str:
        """The Parquet file of jobs that write one."""
        return os.path.join(self.table, "part-0.parquet")

    @property
    def rejects(self) -> str:
        """The Parquet file of the rejects, with their `line` and `reason`."""
        return str(self.output / "rejects.parquet")


def run(jobs: dict[str, Callable[[Job], None]]) -> None:
    """Runs the job that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=jobs)
    parser.add_argument("--source", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--threads", required=True, type=int)
    arguments = parser.parse_args()
    jobs[arguments.job](Job(arguments.source, arguments.output, arguments.threads))
