"""What the figures were measured on, and of what."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from harness import environment


def machine() -> dict:
    """The processor, as the system calls it, and what there is of it."""
    processor = _field(Path("/proc/cpuinfo"), "model name") or platform.machine()
    memory_kib = int((_field(Path("/proc/meminfo"), "MemTotal") or "0 kB").split()[0])
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_kib * 1024,
        "kernel": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
    }


def commit() -> str:
    """The commit that is checked out, and whether sources differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=environment.REPOSITORY, capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


def today() -> str:
    """The day, in UTC."""
    return datetime.now(UTC).date().isoformat()


def _field(file: Path, name: str) -> str | None:
    if not file.exists():
        return None
    for line in file.read_text().splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return None
