"""How large the Lambda functions are, and how long each takes from its start to its first request for an event."""

import io
import os
import socket
import statistics
import subprocess
import time
import zipfile
from pathlib import Path

from harness import environment

FUNCTIONS = ["extract", "transform", "load", "notify", "trigger"]
STARTS = 11
TIMEOUT_SECONDS = 10
NEXT_EVENT = b"GET /2018-06-01/runtime/invocation/next "

# What Lambda and the template set. The functions call no service before their first event; the key is a made-up one.
VARIABLES = {
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    "AWS_LAMBDA_LOG_GROUP_NAME": "group",
    "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
    "LANDING_BUCKET": "landing",
    "WORK_BUCKET": "work",
    "LAKE_BUCKET": "lake",
    "TOPIC_ARN": "arn:aws:sns:eu-central-1:000000000000:notices",
    "STATE_MACHINE_ARN": "arn:aws:states:eu-central-1:000000000000:stateMachine:stepwell",
}


def build() -> Path:
    """Builds the functions as they are deployed, and gives their folder."""
    for function in FUNCTIONS:
        package = ["--package", f"stepwell-{function}", "--bin", function, "--features", "lambda"]
        subprocess.run(["cargo", "build", "--release", *package], cwd=environment.REPOSITORY, check=True)
    return environment.target() / "release"


def measure_all(folder: Path, cores: list[int]) -> dict[str, dict]:
    """Measures the functions of a folder in turn, on one core; those that are not there are named as absent."""
    results: dict[str, dict] = {}
    for function in FUNCTIONS:
        binary = folder / function
        if binary.is_file():
            results[function] = {"bytes": binary.stat().st_size, "zip_bytes": _zip_bytes(binary), "seconds": []}
            results[function]["peak_bytes"] = []
        else:
            results[function] = {"absent": "there is no such binary"}
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores[:1])
    try:
        for _ in range(STARTS):
            for function, result in results.items():
                if "absent" not in result:
                    seconds, peak_bytes = start_once(folder / function)
                    result["seconds"].append(seconds)
                    result["peak_bytes"].append(peak_bytes)
    finally:
        os.sched_setaffinity(0, all_cores)
    for function, result in results.items():
        text = result.get("absent") or f"{statistics.median(result['seconds']) * 1e3:.1f} ms"
        print(f"  {function:<10} {text}", flush=True)
    return results


def start_once(binary: Path) -> tuple[float, int]:
    """Starts a function, and gives the seconds until it asks for an event and the memory that it then had used."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT_SECONDS)
        variables = VARIABLES | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.getsockname()[1]}"}
        started = time.perf_counter()
        process = subprocess.Popen([binary], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(TIMEOUT_SECONDS)
                request = connection.recv(4096)
                seconds = time.perf_counter() - started
                peak_bytes = _peak_bytes(process.pid)
        except TimeoutError:
            raise SystemExit(f"{binary.name} asked for no event within {TIMEOUT_SECONDS} s") from None
        finally:
            process.kill()
            process.wait()
    if not request.startswith(NEXT_EVENT):
        raise SystemExit(f"{binary.name} does not ask for an event, but: {request[:200].decode(errors='replace')}")
    return seconds, peak_bytes


def _peak_bytes(process_id: int) -> int:
    # Not from `wait4`, whose figure is never below what this process itself has.
    status = Path(f"/proc/{process_id}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _zip_bytes(binary: Path) -> int:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.write(binary, "bootstrap")
    return archive.tell()
