"""The one command."""

import argparse
import os
import subprocess
from pathlib import Path

from harness import cold, environment, jobs, machine, measure, memory, systems
from harness.report import Report

ROUNDS = 5


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    arguments = argparse.ArgumentParser(
        prog="bench/run",
        description="Measures Stepwell and its peers on the same jobs, compares their outputs, and writes the tables "
        "and the plot of docs/performance.md. Everything it makes is in the target folder.",
        epilog="jobs: " + "; ".join(f"{job} {title}" for job, title in systems.JOBS.items()),
    )
    what = arguments.add_mutually_exclusive_group()
    what.add_argument("--memory", action="store_true", help="the memory of runs on 100 MB and on 5 GB, instead of jobs")
    what.add_argument(
        "--cold", action="store_true", help="the Lambda functions' sizes and start times, instead of jobs"
    )
    what.add_argument("--report", action="store_true", help="write tables and plot anew from the kept figures")
    arguments.add_argument(
        "--jobs", type=_names(systems.JOBS), default=list(systems.JOBS), metavar="J1,J3", help="only some"
    )
    arguments.add_argument(
        "--systems",
        type=_names(systems.SYSTEMS),
        default=systems.SYSTEMS,
        metavar="stepwell,duckdb",
        help="only some; writes to target/bench-report/ instead",
    )
    arguments.add_argument(
        "--cores", choices=["1", "2", "both"], default="both", help="on how many cores; default both"
    )
    arguments.add_argument("--runs", type=int, metavar="N", help=f"of each system; default {ROUNDS}, with --quick 1")
    arguments.add_argument("--quick", action="store_true", help="small data, to see that all works; writes there, too")
    arguments.add_argument(
        "--binary", type=Path, metavar="PATH", help="a stepwell that is built already; with --cold, functions beside it"
    )
    return arguments


def _names(known):
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} unknown; there are {', '.join(known)}")
        return names

    return parse


def main() -> int:
    """Does what the command line asks for; 1 where a system failed or gave a wrong output."""
    asked = parser().parse_args()
    environment.python()
    whole = not asked.quick and asked.systems == systems.SYSTEMS
    folder = environment.DOCS if whole else environment.target() / "bench-report"
    report = Report(folder, machine.machine())
    good, section = True, "jobs"
    if asked.cold:
        section = "cold"
        run_cold(asked, report)
    elif asked.memory:
        section = "memory"
        run_memory(asked, report)
    elif not asked.report:
        good = run_jobs(asked, report)
    print("\n" + report.write().get(section, "there are no figures yet"))
    return 0 if good else 1


def core_sets(asked: argparse.Namespace) -> list[list[int]]:
    """The sets of cores to run on."""
    available = measure.available_cores()
    counts = {"1": [1], "2": [2], "both": [1, 2]}[asked.cores]
    if max(counts) > len(available):
        raise SystemExit(f"{max(counts)} cores asked for, and {len(available)} there: use --cores 1")
    return [available[:count] for count in counts]


def stepwell(asked: argparse.Namespace) -> Path:
    """The binary to measure, built unless one is named."""
    if asked.binary:
        if not asked.binary.is_file():
            raise SystemExit(f"there is no {asked.binary}")
        return asked.binary.resolve()
    subprocess.run(["cargo", "build", "--release", "--bin", "stepwell"], cwd=environment.REPOSITORY, check=True)
    return environment.target() / "release" / "stepwell"


def stamp() -> dict:
    """When, and of what."""
    return {"measured": machine.today(), "commit": machine.commit()}


def run_jobs(asked: argparse.Namespace, report: Report) -> bool:
    """Runs the jobs; whether every system that can do them did."""
    binary = stepwell(asked) if "stepwell" in asked.systems else Path()
    sizes = systems.QUICK if asked.quick else systems.FULL
    rounds = asked.runs or (1 if asked.quick else ROUNDS)
    good = True
    # Made before anything is measured.
    expectations = {job: systems.expected(job, sizes) for job in asked.jobs}
    warn_if_busy()
    for job in asked.jobs:
        figures = {
            **stamp(),
            "rounds": rounds,
            "rows": expectations[job]["rows"],
            "source_bytes": systems.source(job, sizes).stat().st_size,
            "cores": {},
        }
        for cores in core_sets(asked):
            results = jobs.JobRunner(job, sizes, cores, binary).run(asked.systems, rounds)
            good &= not any("failed" in result for result in results.values())
            figures["cores"][str(len(cores))] = results
        report.add_job(job, figures)
        report.write()
    return good


def run_memory(asked: argparse.Namespace, report: Report) -> None:
    """Measures the memory of runs."""
    binary = stepwell(asked)
    shrink = 0.05 if asked.quick else 1
    measured = {str(len(cores)): memory.measure_both(cores, binary, shrink) for cores in core_sets(asked)}
    report.add("memory", {**stamp(), "cores": measured})


def run_cold(asked: argparse.Namespace, report: Report) -> None:
    """Measures the Lambda functions' starts."""
    folder = asked.binary.resolve().parent if asked.binary else cold.build()
    report.add("cold", {**stamp(), "functions": cold.measure_all(folder, measure.available_cores())})


def warn_if_busy() -> None:
    """Tells if others are at work on the machine: the figures mean little then."""
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: the machine is busy (load {load:.1f}); times will be too long", flush=True)
