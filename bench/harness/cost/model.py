"""The model: what a run, a month and the alternatives cost, from prices, measured usage and stated assumptions."""

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PRICES = json.loads((ROOT / "pipeline/src/price/list.json").read_text())
MEASURED = json.loads((ROOT / "docs/cost.json").read_text())
PERFORMANCE = json.loads((ROOT / "docs/performance.json").read_text())

HOURS_OF_MONTH = 730
GB = 1e9
LARGE_BYTES = MEASURED["large"]["bytes_read"]


def price(name: str, quantity: float = 1) -> float:
    """What an amount costs by the price list."""
    entry = PRICES["prices"][name]
    return quantity * entry["usd"] / entry["per"]


@dataclass(frozen=True)
class Assumptions:
    """What nobody measured, or what was measured elsewhere. `ABOUT` says what each is."""

    network_mb_s: float = 75
    request_s: float = 0.03
    cpu_factor: float = 1.0
    trigger_messages: int = 10
    log_kb: float = 6
    metrics: int = 26
    alarms: int = 18
    glue_mb_s_of_dpu: float = 40
    glue_start_s: float = 20
    fargate_start_s: float = 30
    fargate_mb_s_of_vcpu: float = 125


ABOUT = {
    "network_mb_s": "MB/s between a Lambda function and S3, both ways together",
    "request_s": "seconds that a request to S3 takes which nothing else overlaps",
    "cpu_factor": "seconds on Lambda (arm64, as many cores as the memory brings) for one on the machine of the measurement",
    "trigger_messages": "messages that one call of `trigger` takes, where uploads come fast; else one",
    "log_kb": "kB of log lines of a run",
    "metrics": "custom metrics of a deployment with one pipeline, billed for the hours in which they are sent",
    "alarms": "alarms of the template",
    "glue_mb_s_of_dpu": "MB/s of CSV that a DPU (4 vCPU) turns into Parquet in Spark",
    "glue_start_s": "billed seconds of a Glue job before it reads",
    "fargate_start_s": "billed seconds of a Fargate task before it reads: the image is pulled, Python starts",
    "fargate_mb_s_of_vcpu": "MB/s between a Fargate task and S3, for each vCPU",
}


@dataclass(frozen=True)
class Workload:
    """So many files of one size, so many times a month."""

    title: str
    files: int
    file_bytes: float
    times_of_month: float
    batch: int = 1
    dpus: int = 2
    vcpus: int = 1

    @property
    def bytes(self) -> float:
        return self.files * self.file_bytes

    @property
    def is_small(self) -> bool:
        return self.file_bytes < 1e6

    @property
    def active_hours(self) -> float:
        """Hours of the month in which something runs, at least in part."""
        return min(HOURS_OF_MONTH, self.times_of_month)


WORKLOADS = {
    "a": Workload("one file of 1 GB a day", 1, GB, 30),
    "b": Workload("10,000 files of 10 kB an hour", 10_000, 10e3, HOURS_OF_MONTH),
    "b*": Workload("the same, with `source.batch` of 1,000", 10_000, 10e3, HOURS_OF_MONTH, batch=1000),
    "c": Workload("100 files of 1 GB a night", 100, GB, 30, dpus=10, vcpus=4),
    "d": Workload("one file of 1 GB a month", 1, GB, 1),
}


@dataclass
class Cost:
    """US dollars by what they are for."""

    parts: dict[str, float] = field(default_factory=dict)

    def add(self, what: str, usd: float) -> None:
        self.parts[what] = self.parts.get(what, 0) + usd

    @property
    def usd(self) -> float:
        return sum(self.parts.values())


def requests_usd(puts: float, gets: float) -> float:
    """Requests to S3."""
    return price("s3_put", puts) + price("s3_get", gets)


def lambda_usd(seconds: float, memory_mib: float) -> float:
    """One call of a function."""
    return price("lambda_gb_second", seconds * memory_mib / 1024) + price("lambda_request")


MEMBERS_AHEAD = 32
"""Members of a batch that are fetched at the same time (`AHEAD_MAX` in extract/src/source/members.rs)."""


def stage_seconds(stage: dict, scale: float, fixed_requests: float, members: float, about: Assumptions) -> float:
    """What a stage takes on Lambda: as long as computing, the network or the members of a batch, whichever is longest,
    and the requests that every run makes one after the other."""
    fetching = members / MEMBERS_AHEAD * about.request_s if stage["stage"] == "Extract" else 0
    computing = stage["billed_ms"] / 1000 * scale * about.cpu_factor
    moving = (stage["bytes_read"] + stage["bytes_written"]) * scale / (about.network_mb_s * 1e6)
    return max(computing, moving, fetching) + fixed_requests * about.request_s


def requests_of(stage: dict) -> float:
    return stage["requests_get"] + stage["requests_put"]


def run_cost(measured: dict, scale: float, about: Assumptions) -> Cost:
    """One run, as its report reckons it, but with the time that it would take on Lambda."""
    cost = Cost()
    fixed = {stage["stage"]: requests_of(stage) for stage in MEASURED["small"]["usage"]["stages"]}
    calls = 0
    for stage in measured["usage"]["stages"]:
        # What a small run asks for is asked one after the other; what a large one asks for beyond that overlaps.
        members = measured.get("members", 0) * scale
        seconds = stage_seconds(stage, scale, fixed[stage["stage"]], members, about)
        rounds = math.ceil(seconds / (900 * 0.8))
        calls += rounds
        cost.add("functions", lambda_usd(seconds, stage["memory_mib"]) + (rounds - 1) * price("lambda_request"))
        beyond = max(0, requests_of(stage) - fixed[stage["stage"]]) * (scale - 1)
        share = stage["requests_put"] / max(1, requests_of(stage))
        puts, gets = stage["requests_put"] + beyond * share, stage["requests_get"] + beyond * (1 - share)
        cost.add("requests", requests_usd(puts, gets))
    cost.add("transitions", price("states_transition", 2 * calls + 1))
    # `notify` reads the report and publishes; the execution's end goes through the queue, for those that wait.
    cost.add("around", lambda_usd(2 * about.request_s, 256) + price("sns_request") + price("s3_get", 2))
    cost.add("around", price("sqs_request", 3) + price("logs_gb", about.log_kb / 1e6))
    return cost


def upload_cost(messages: int, is_batched: bool, about: Assumptions) -> float:
    """An upload's way to its run: event, queue, `trigger`, and for a member of a batch its five requests."""
    usd = price("event") + price("sqs_request", 1 + 2 / messages)
    own = requests_usd(2, 3) if is_batched else 0
    # It lists the pipelines, reads the one there is, and starts the execution or makes the requests of a member.
    seconds = (2 + (5 if is_batched else 1) * messages) * about.request_s
    return usd + own + (lambda_usd(seconds, 512) + requests_usd(1, 1)) / messages


def standing_cost(workload: Workload, about: Assumptions) -> Cost:
    """What a deployment costs a month, whatever it loads."""
    cost = Cost()
    ticks = HOURS_OF_MONTH * 60
    # Four listings and the one spec: schedules, batches, what waits, open jobs.
    cost.add("ticks", ticks * (lambda_usd(5 * about.request_s, 512) + requests_usd(4, 1) + price("scheduler_call")))
    cost.add("polling", price("sqs_request", 2 * 5 * 3 * ticks))
    cost.add("alarms", price("alarm_month", about.alarms))
    cost.add("metrics", price("metric_month", about.metrics) * workload.active_hours / HOURS_OF_MONTH)
    return cost


def stepwell(workload: Workload, about: Assumptions) -> Cost:
    """A month of a workload with Stepwell."""
    cost = Cost()
    if workload.batch > 1:
        measured, scale = MEASURED["batch"], workload.batch / MEASURED["batch"]["members"]
    elif workload.is_small:
        measured, scale = MEASURED["small"], 1
    else:
        measured, scale = MEASURED["large"], workload.file_bytes / LARGE_BYTES
    runs = workload.files / workload.batch * workload.times_of_month
    for what, usd in run_cost(measured, scale, about).parts.items():
        cost.add(what, usd * runs)
    messages = about.trigger_messages if workload.files > 1 else 1
    uploads = workload.files * workload.times_of_month
    cost.add("around", upload_cost(messages, workload.batch > 1, about) * uploads)
    cost.add("standing", standing_cost(workload, about).usd)
    return cost


def cpu_seconds_of_gb(system: str) -> float:
    """CPU seconds of a peer for one GB, measured on J1 (docs/performance.md), on one core."""
    runs = PERFORMANCE["jobs"]["J1"]["cores"]["1"][system]["cpu_seconds"]
    return sorted(runs)[len(runs) // 2] * GB / PERFORMANCE["jobs"]["J1"]["source_bytes"]


def out_bytes(workload: Workload) -> float:
    """What the alternatives write: as much as Stepwell's tables hold."""
    return workload.bytes * MEASURED["large"]["bytes_loaded"] / LARGE_BYTES


def python_lambda(workload: Workload, about: Assumptions) -> Cost:
    """A function in Python for each file: pandas, 1,769 MiB, S3 straight to S3."""
    cost = Cost()
    share = workload.bytes / workload.files
    computing = share / GB * cpu_seconds_of_gb("pandas") * about.cpu_factor
    moving = (share + out_bytes(workload) / workload.files) / (about.network_mb_s * 1e6)
    # HEAD, GET and PUT, one after the other.
    seconds = max(computing, moving) + 3 * about.request_s
    memory_mib = 512 if workload.is_small else 1769
    if seconds > 900:
        raise ValueError("it does not fit into a function's time")
    calls = workload.files * workload.times_of_month
    parts = math.ceil(share / 8e6)
    cost.add("functions", calls * lambda_usd(seconds, memory_mib))
    puts = max(1, math.ceil(out_bytes(workload) / workload.files / 8e6) + 2 if not workload.is_small else 1)
    cost.add("requests", calls * requests_usd(puts, 1 + parts))
    return cost


def open_seconds(workload: Workload, at_once: int, about: Assumptions) -> float:
    """The time that goes into opening many small files, so many at a time."""
    return workload.files * about.request_s / at_once if workload.is_small else 0


def fargate(workload: Workload, about: Assumptions) -> Cost:
    """A Fargate task for all files of a time: Polars on arm64, 2 GB for each vCPU."""
    cost = Cost()
    computing = workload.bytes / GB * cpu_seconds_of_gb("polars") / workload.vcpus
    moving = (workload.bytes + out_bytes(workload)) / (about.fargate_mb_s_of_vcpu * workload.vcpus * 1e6)
    seconds = about.fargate_start_s + max(computing, moving) + open_seconds(workload, 16 * workload.vcpus, about)
    hours = max(60, seconds) / 3600 * workload.times_of_month
    cost.add("task", hours * workload.vcpus * (price("fargate_vcpu_hour") + 2 * price("fargate_gb_hour")))
    cost.add("requests", workload.times_of_month * bulk_requests(workload))
    return cost


def glue(workload: Workload, about: Assumptions, price_name: str = "glue_dpu_hour") -> Cost:
    """A Spark job on Glue for all files of a time."""
    cost = Cost()
    reading = workload.bytes / (about.glue_mb_s_of_dpu * workload.dpus * 1e6)
    seconds = about.glue_start_s + reading + open_seconds(workload, 4 * workload.dpus, about)
    cost.add("job", price(price_name, workload.dpus * max(60, seconds) / 3600 * workload.times_of_month))
    cost.add("requests", workload.times_of_month * bulk_requests(workload))
    return cost


def bulk_requests(workload: Workload) -> float:
    """The requests of whoever reads all files of a time at once, by 8 MB, and writes files of 8 MB parts."""
    gets = workload.files * (1 + math.ceil(workload.file_bytes / 8e6))
    return requests_usd(3 + math.ceil(out_bytes(workload) / 8e6), gets)


ALTERNATIVES = {
    "Python Lambda": python_lambda,
    "Fargate": fargate,
    "Glue 5": glue,
    "Glue 6": lambda workload, about: glue(workload, about, "glue6_dpu_hour"),
    "Glue 6 flex": lambda workload, about: glue(workload, about, "glue6_flex_dpu_hour"),
}


def changed(about: Assumptions, name: str, factor: float) -> Assumptions:
    """The assumptions with one of them off by a factor."""
    return replace(about, **{name: getattr(about, name) * factor})
