"""The source files, made once and kept in the target folder. The same numbers always give the same bytes."""

import gzip
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness import environment

DAMAGED_EVERY = 1000
"""One record in so many is damaged for J4: 0.1 %."""

DAMAGED_AT = 500
"""Which of them, counted from 0."""

EVENTS_BYTES_EACH = 405
"""What an event takes as JSON, about."""


def made(path: Path, make: Callable[[Path], None]) -> Path:
    """The file, made where it is missing. It appears whole or not at all."""
    if not path.exists():
        print(f"making {path.name}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".unfinished")
        make(unfinished)
        unfinished.rename(path)
    return path


def code_digest(*files: str) -> str:
    """A few digits that change with the code that makes a file, so that none outlives it."""
    digest = hashlib.sha256(environment.REQUIREMENTS.read_bytes())
    for file in files:
        digest.update((environment.BENCH / file).read_bytes())
    return digest.hexdigest()[:8]


def lineitem(scale: float) -> Path:
    """TPC-H's lineitem as CSV with a header; 766 MB for scale 1."""

    def make(path: Path) -> None:
        environment.python()
        folder = path.with_suffix(".tpch")
        generator = environment.VENV / "bin" / "tpchgen-cli"
        options = ["--tables=lineitem", f"--scale-factor={scale}", f"--output-dir={folder}", "--quiet", "--overwrite"]
        subprocess.run([generator, "csv", *options], check=True)
        (folder / "lineitem.csv").rename(path)
        shutil.rmtree(folder)

    return made(environment.DATA / f"lineitem-sf{scale:g}.csv", make)


def damaged_lineitem(scale: float) -> Path:
    """`lineitem` with a bad record in a thousand: text in a number column, a date that is none, or a missing field."""

    def make(path: Path) -> None:
        damages = [_not_a_number, _no_date, _missing_field]
        with lineitem(scale).open("rb") as source, path.open("wb") as target:
            target.write(next(source))
            for index, record in enumerate(source):
                if index % DAMAGED_EVERY == DAMAGED_AT:
                    record = damages[index // DAMAGED_EVERY % len(damages)](record)
                target.write(record)

    return made(environment.DATA / f"lineitem-sf{scale:g}-damaged.csv", make)


def _replaced(record: bytes, field: int, value: bytes) -> bytes:
    fields = record.split(b",", field + 1)
    fields[field] = value
    return b",".join(fields)


def _not_a_number(record: bytes) -> bytes:
    return _replaced(record, 4, b"n/a")


def _no_date(record: bytes) -> bytes:
    return _replaced(record, 10, b"1996-13-45")


def _missing_field(record: bytes) -> bytes:
    # The comment, the last of sixteen.
    return b",".join(record.split(b",", 15)[:15]) + b"\n"


def gzipped_lineitem(scale: float) -> Path:
    """`lineitem` as `gzip -6` writes it: one member."""

    def make(path: Path) -> None:
        with lineitem(scale).open("rb") as source, gzip.GzipFile("", "wb", 6, path.open("wb"), mtime=0) as target:
            shutil.copyfileobj(source, target, 1 << 20)

    return made(environment.DATA / f"lineitem-sf{scale:g}.csv.gz", make)


def events(megabytes: int) -> Path:
    """A log of events as NDJSON, with nested objects, nulls, escapes and text beyond ASCII."""

    def make(path: Path) -> None:
        environment.python()
        environment.run_module("harness.events", path, megabytes * 1_000_000 // EVENTS_BYTES_EACH)

    digest = code_digest("harness/events.py", "schemas.py")
    return made(environment.DATA / f"events-{megabytes}mb-{digest}.ndjson", make)


def expected(job: str, source: Path, reference: Path) -> dict:
    """What the output of a job over a source must be, read by DuckDB from the undamaged `reference`."""

    def make(path: Path) -> None:
        path.write_text(environment.run_module("harness.verify", "expect", job, reference))

    digest = code_digest("harness/verify.py", "schemas.py")
    return json.loads(made(source.with_name(f"{source.name}.{job}-{digest}.json"), make).read_text())
