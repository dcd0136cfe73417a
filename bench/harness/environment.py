"""Where things are, and the Python environment of the peers."""

import hashlib
import os
import subprocess
import venv
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent
DOCS = REPOSITORY / "docs"
PIPELINES = BENCH / "pipelines"
REQUIREMENTS = BENCH / "requirements.txt"


def target() -> Path:
    """Cargo's target folder, which also holds everything that the benchmark makes."""
    return Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")).resolve()


DATA = target() / "bench-data"
OUTPUT = target() / "bench-output"
VENV = target() / "bench-venv"


def python() -> Path:
    """The Python that has the peers; its environment is made where it is missing or out of date."""
    interpreter = VENV / "bin" / "python"
    stamp = VENV / "requirements.sha256"
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return interpreter
    print(f"installing {REQUIREMENTS.relative_to(REPOSITORY)} into {VENV}", flush=True)
    venv.create(VENV, with_pip=True, clear=True)
    subprocess.run([interpreter, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
    stamp.write_text(digest)
    return interpreter


def module(name: str, *arguments: object) -> list[str]:
    """The command that runs a module of this folder with the peers' Python."""
    return [str(VENV / "bin" / "python"), "-m", name, *map(str, arguments)]


def module_environment() -> dict[str, str]:
    """The environment that such a command needs."""
    return {**os.environ, "PYTHONPATH": str(BENCH), "PYTHONDONTWRITEBYTECODE": "1"}


def run_module(name: str, *arguments: object) -> str:
    """Runs a module of this folder with the peers' Python, and gives what it printed."""
    command = module(name, *arguments)
    done = subprocess.run(command, env=module_environment(), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def versions() -> dict[str, str]:
    """The pinned versions of the packages."""
    lines = REQUIREMENTS.read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)
