"""Runs a command as its own process and measures it."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

TIMEOUT_SECONDS = 1800


class Measured(NamedTuple):
    """What a process and all the processes that it waited for took."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    """The largest resident set of one of the processes."""


class Failed(Exception):
    """The command did not end well; the text says how."""


def available_cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def run(command: list[str], folder: Path, environment: dict[str, str], cores: list[int]) -> tuple[Measured, str]:
    """Runs a command on some cores, and gives also what it printed.

    The kernel's high-water mark of a child includes what the parent had when it forked, so this process must stay
    small: it imports nothing but the standard library.
    """
    all_cores = os.sched_getaffinity(0)
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as complained:
        os.sched_setaffinity(0, cores)
        try:
            started = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=printed, stderr=complained, start_new_session=True
            )
        finally:
            os.sched_setaffinity(0, all_cores)
        timer = threading.Timer(TIMEOUT_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall_seconds = time.perf_counter() - started
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            complained.seek(0)
            lines = complained.read().decode(errors="replace").strip().splitlines()
            raise Failed(_failure(process.returncode, wall_seconds, lines))
        printed.seek(0)
        return Measured(wall_seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024), printed.read().decode()


def _failure(code: int, wall_seconds: float, lines: list[str]) -> str:
    if wall_seconds >= TIMEOUT_SECONDS:
        return f"no end within {TIMEOUT_SECONDS} s"
    return f"exit code {code}: {lines[-1] if lines else 'no message'}"
