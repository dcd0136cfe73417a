"""The jobs, the systems, and how each system is told to do a job."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from harness import data, environment


class Sizes(NamedTuple):
    """How much data there is."""

    scale: float
    """TPC-H's scale factor; lineitem has 6 million records for 1."""
    events_megabytes: int


FULL = Sizes(scale=1, events_megabytes=300)
QUICK = Sizes(scale=0.02, events_megabytes=10)

JOBS = {
    "J1": "CSV → Parquet: cast, filter, derive",
    "J2": "CSV → Parquet, partitioned by year and month",
    "J3": "NDJSON with nested objects → Parquet",
    "J4": "J1 with 0.1 % bad records, kept with line and reason",
    "J5": "J1 from a gzip file",
}

PEERS = ["duckdb", "polars", "datafusion", "pyarrow", "pandas"]
SYSTEMS = ["stepwell", *PEERS]

CANNOT = {
    ("datafusion", "J4"): "it does not tell the line of a bad record",
}


def source(job: str, sizes: Sizes) -> Path:
    """The file that a job reads."""
    match job:
        case "J3":
            return data.events(sizes.events_megabytes)
        case "J4":
            return data.damaged_lineitem(sizes.scale)
        case "J5":
            return data.gzipped_lineitem(sizes.scale)
        case _:
            return data.lineitem(sizes.scale)


def expected(job: str, sizes: Sizes) -> dict:
    """What the job's output must hold."""
    reference = data.events(sizes.events_megabytes) if job == "J3" else data.lineitem(sizes.scale)
    return data.expected(job, source(job, sizes), reference)


def spec(job: str) -> Path:
    """Stepwell's spec for a job."""
    names = {"J2": "lineitem-partitioned", "J3": "events", "J4": "lineitem-damaged"}
    return environment.PIPELINES / f"{names.get(job, 'lineitem')}.yaml"


class Command(NamedTuple):
    """How a system is started."""

    line: list[str]
    variables: dict[str, str]


def command(system: str, job: str, file: Path, folder: Path, threads: int, binary: Path) -> Command:
    """The command with which a system does a job in a fresh folder."""
    if system == "stepwell":
        line = [str(binary), "run", str(spec(job)), str(file), "--dir", str(folder / "buckets"), "--json"]
        return Command(line, dict(os.environ))
    options = ["--source", file, "--output", folder, "--threads", threads]
    # Polars takes the number of its threads only from the environment.
    variables = environment.module_environment() | {"POLARS_MAX_THREADS": str(threads)}
    return Command(environment.module(f"peers.{system}", job, *options), variables)


class Output(NamedTuple):
    """Where a system put what it made."""

    table: Path
    rejects: Path


def output(system: str, folder: Path, printed: str) -> Output:
    """Where the table and the rejects are. Stepwell prints it."""
    if system != "stepwell":
        return Output(folder / "table", folder / "rejects.parquet")
    (run,) = json.loads(printed)["runs"]
    return Output(Path(run["table"]), Path((run["rejects"] or {}).get("reasons", "none")))
