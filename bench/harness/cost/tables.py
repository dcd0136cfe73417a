"""The tables of docs/cost.md."""

from harness.cost import model
from harness.cost.model import ABOUT, ALTERNATIVES, MEASURED, PRICES, WORKLOADS, Assumptions

SENSITIVE = ["network_mb_s", "request_s", "cpu_factor", "glue_mb_s_of_dpu", "glue_start_s", "fargate_start_s"]


def usd(amount: float) -> str:
    """Three significant figures, or cents."""
    if amount >= 100:
        return f"${amount:,.0f}"
    if amount >= 1:
        return f"${amount:.2f}"
    return f"${amount:.3g}" if amount >= 0.0001 else f"${amount:.1e}"


def rows(cells: list[list[str]], texts: set[int] = frozenset({0})) -> str:
    """A Markdown table, whose first row is its head; all columns but those of text are numbers."""
    marks = ["---" if column in texts else "---:" for column in range(len(cells[0]))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [cells[0], marks, *cells[1:]])


def prices() -> str:
    """The price list."""
    table = [["price", "USD", "for", "page", "read in", "copy of"]]
    sources = []
    for name, entry in PRICES["prices"].items():
        if entry["source"] not in sources:
            sources.append(entry["source"])
        per = "" if entry["per"] == 1 else f"{entry['per']:,} "
        unit = entry["unit"] if entry["per"] == 1 else entry["unit"] + "s"
        number = f"({sources.index(entry['source']) + 1})"
        table.append([f"`{name}`", f"{entry['usd']:.10f}".rstrip("0").rstrip("."), per + unit, entry["page"], number, entry["seen"]])
    notes = "\n".join(f"{number}. {source}." for number, source in enumerate(sources, 1))
    return rows(table, {0, 2, 3, 4, 5}) + "\n\n" + notes


def assumptions() -> str:
    """What nobody measured."""
    about = Assumptions()
    table = [["assumption", "value", "what"]]
    table += [[f"`{name}`", f"{getattr(about, name):g}", text] for name, text in ABOUT.items()]
    return rows(table, {0, 2})


def measured() -> str:
    """The runs that the model is made of."""
    about = Assumptions()
    machine = MEASURED["machine"]
    table = [["run", "stage", "ms here", "MB read", "MB written", "GET", "PUT", "s on Lambda", "GB-seconds"]]
    titles = {"large": "766 MB, one file", "small": "10 kB, one file", "batch": f"{MEASURED['batch']['members']:,} files of 10 kB"}
    fixed = {stage["stage"]: model.requests_of(stage) for stage in MEASURED["small"]["usage"]["stages"]}
    for name, title in titles.items():
        for stage in MEASURED[name]["usage"]["stages"]:
            members = MEASURED[name].get("members", 0)
            seconds = model.stage_seconds(stage, 1, fixed[stage["stage"]], members, about)
            numbers = [
                f"{stage['billed_ms']:,}",
                f"{stage['bytes_read'] / 1e6:,.2f}",
                f"{stage['bytes_written'] / 1e6:,.2f}",
                f"{stage['requests_get']:,}",
                f"{stage['requests_put']:,}",
                f"{seconds:.2f}",
                f"{seconds * stage['memory_mib'] / 1024:.2f}",
            ]
            table.append([title, stage["stage"], *numbers])
            title = ""
    place = f"{machine['processor']}, one core" if "processor" in machine else "one core"
    return f"Measured {MEASURED['measured']}, commit {MEASURED['commit']}, {place}.\n\n" + rows(table, {0, 1})


def runs() -> str:
    """What one run costs, by what it is for."""
    about = Assumptions()
    table = [["run", "functions", "requests", "transitions", "around", "together"]]
    cases = [
        ("1 GB, one file", MEASURED["large"], model.GB / model.LARGE_BYTES),
        ("10 kB, one file", MEASURED["small"], 1),
        (f"{MEASURED['batch']['members']:,} files of 10 kB in a batch", MEASURED["batch"], 1),
    ]
    for title, what, scale in cases:
        cost = model.run_cost(what, scale, about)
        parts = [usd(cost.parts[part]) for part in ("functions", "requests", "transitions", "around")]
        table.append([title, *parts, f"**{usd(cost.usd)}**"])
    table.append(["a member of a batch, before its run", "", "", "", usd(model.upload_cost(10, True, about)), ""])
    return rows(table)


def standing() -> str:
    """What a deployment costs a month that loads nothing much."""
    about = Assumptions()
    cost = model.standing_cost(WORKLOADS["d"], about)
    busy = model.standing_cost(WORKLOADS["b"], about)
    table = [["a month", "USD", "what"]]
    what = {
        "ticks": "43,800 ticks: calls of `trigger`, four listings and a GET each",
        "polling": "Lambda asks both queues with five connections for 20 s each",
        "alarms": f"{about.alarms} alarms",
        "metrics": f"{about.metrics} metrics in one hour; {usd(busy.parts['metrics'])} where each hour has a run",
    }
    table += [[part, usd(cost.parts[part]), text] for part, text in what.items()]
    table.append(["**together**", f"**{usd(cost.usd)}**", f"{usd(busy.usd)} where each hour has a run"])
    return rows(table, {0, 2})


def workloads() -> str:
    """A month of each workload, with Stepwell and the others."""
    about = Assumptions()
    table = [["workload", "Stepwell, its runs", "Stepwell, standing", *ALTERNATIVES]]
    for workload in WORKLOADS.values():
        own = model.stepwell(workload, about)
        others = [usd(alternative(workload, about).usd) for alternative in ALTERNATIVES.values()]
        fixed = own.parts["standing"]
        table.append([workload.title, f"**{usd(own.usd - fixed)}**", usd(fixed), *others])
    return rows(table)


def sensitivity() -> str:
    """Stepwell's runs divided by the cheapest and the dearest of the others, with assumptions off by two."""

    def ratios(about: Assumptions) -> list[str]:
        cells = []
        for workload in WORKLOADS.values():
            own = model.stepwell(workload, about)
            runs_usd = own.usd - own.parts["standing"]
            others = [alternative(workload, about).usd for alternative in ALTERNATIVES.values()]
            cells.append(f"{runs_usd / min(others):.1f} – {runs_usd / max(others):.1f}")
        return cells

    table = [["assumption", *(workload.title for workload in WORKLOADS.values())], ["as above", *ratios(Assumptions())]]
    for name in SENSITIVE:
        for factor, word in ((0.5, "half"), (2, "twice")):
            table.append([f"`{name}` {word}", *ratios(model.changed(Assumptions(), name, factor))])
    return rows(table)


def break_even() -> str:
    """Where one becomes dearer than the other."""
    about = Assumptions()
    small, large = MEASURED["small"], MEASURED["large"]
    run_small = model.run_cost(small, 1, about).usd
    per_gb = model.run_cost(large, model.GB / model.LARGE_BYTES, about).parts["functions"]
    fixed = model.run_cost(small, 1, about).parts["transitions"] + model.run_cost(small, 1, about).parts["requests"]
    job = 2 * 60 / 3600
    batch = model.run_cost(MEASURED["batch"], 1, about).usd
    member = model.upload_cost(about.trigger_messages, True, about)
    alone = run_small + model.upload_cost(about.trigger_messages, False, about)
    # A batch of n: its run, whose cost grows from that of a small run to the measured one.
    slope = (batch - run_small) / MEASURED["batch"]["members"]
    worth = run_small / (alone - member - slope)
    lines = [
        f"- A run of a small file costs {usd(run_small)}, of which transitions and requests are {usd(fixed)}; that is what the "
        f"functions take for {fixed / per_gb * 1000:,.0f} MB. Below that size, files are better gathered.",
        f"- `source.batch` pays from {max(2, int(worth) + 1)} files in a batch on. In one of 1,000, a file of 10 kB costs "
        f"{usd(member + batch / 1000)} instead of {usd(alone)}.",
        f"- A Glue job costs at least {usd(model.price('glue6_flex_dpu_hour', job))} (Glue 6 flex) to "
        f"{usd(model.price('glue_dpu_hour', job))} (Glue 5): as much as "
        f"{model.price('glue6_flex_dpu_hour', job) / per_gb:,.1f} to {model.price('glue_dpu_hour', job) / per_gb:,.1f} GB in runs of "
        f"1 GB, or {model.price('glue6_flex_dpu_hour', job) / run_small:,.0f} to "
        f"{model.price('glue_dpu_hour', job) / run_small:,.0f} small runs.",
        f"- A Fargate task costs at least {usd(model.price('fargate_vcpu_hour', 1 / 60) + model.price('fargate_gb_hour', 2 / 60))}: "
        f"as much as {(model.price('fargate_vcpu_hour', 1 / 60) + model.price('fargate_gb_hour', 2 / 60)) / run_small:,.1f} small runs.",
    ]
    return "\n".join(lines)


def sections() -> dict[str, str]:
    """The tables, by the marks between which they stand."""
    return {
        "prices": prices(),
        "assumptions": assumptions(),
        "measured": measured(),
        "runs": runs(),
        "standing": standing(),
        "workloads": workloads(),
        "sensitivity": sensitivity(),
        "break-even": break_even(),
    }
