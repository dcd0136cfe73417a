"""How much memory a run takes for a small and for a large file."""

import os
from pathlib import Path

from harness import data, jobs, measure, systems

SMALL_SCALE = 100 / 766
LARGE_SCALE = 5000 / 766
"""Scale 1 is 766 MB: these are 100 MB and 5 GB."""


def measure_both(cores: list[int], binary: Path, shrink: float = 1) -> dict:
    """The peak memory of a run on lineitem in both sizes, and their ratio."""
    runs = []
    for scale in (SMALL_SCALE * shrink, LARGE_SCALE * shrink):
        file = data.lineitem(round(scale, 3))
        with jobs.fresh_folder("memory") as folder:
            command = systems.command("stepwell", "J1", file, folder, len(cores), binary)
            os.sync()
            measured, _ = measure.run(command.line, folder, command.variables, cores)
        size = file.stat().st_size
        runs.append({"source_bytes": size, "peak_bytes": measured.peak_bytes, "wall_seconds": measured.wall_seconds})
        print(
            f"  {len(cores)} cores {size / 1e6:8.0f} MB source {measured.peak_bytes / 1e6:8.0f} MB peak "
            f"{measured.wall_seconds:8.1f} s",
            flush=True,
        )
    ratio = runs[1]["peak_bytes"] / runs[0]["peak_bytes"]
    print(f"  {len(cores)} cores ratio {ratio:.2f}", flush=True)
    return {"runs": runs, "ratio": ratio}
