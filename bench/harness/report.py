"""Keeps the raw figures, and writes the tables of `performance.md` and the plot from them."""

import json
import statistics
from pathlib import Path

from harness import environment, systems

TITLES = {
    "stepwell": "**Stepwell**",
    "duckdb": "DuckDB",
    "polars": "Polars",
    "datafusion": "DataFusion",
    "pyarrow": "pyarrow",
    "pandas": "pandas",
}
MEASURES = {
    "wall_seconds": ("wall s", 1, ".2f"),
    "cpu_seconds": ("CPU s", 1, ".2f"),
    "peak_bytes": ("peak MB", 1e6, ".0f"),
}
SECTIONS = ["jobs", "memory", "cold"]
SKELETON = "# Performance\n" + "".join(f"\n<!-- {name} -->\n<!-- /{name} -->\n" for name in SECTIONS)


class Report:
    """The figures of a folder: `performance.json`, `performance.md` and `performance.svg`."""

    def __init__(self, folder: Path, machine: dict) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.markdown, self.raw, self.plot = (folder / f"performance.{suffix}" for suffix in ("md", "json", "svg"))
        known = json.loads(self.raw.read_text()) if self.raw.exists() else {}
        base = {"machine": machine, "versions": environment.versions()}
        # Figures of another machine or of other versions cannot stand beside these.
        self.figures = known if all(known.get(name) == value for name, value in base.items()) else base

    def add_job(self, job: str, figures: dict) -> None:
        """Takes the figures of a job, in place of earlier ones: what stands in one table was measured in turn."""
        self.figures.setdefault("jobs", {})[job] = figures

    def add(self, section: str, figures: dict) -> None:
        """Takes the figures of a section."""
        self.figures[section] = figures

    def write(self) -> dict[str, str]:
        """Writes everything, and gives the tables of each section."""
        self.raw.write_text(json.dumps(self.figures, indent=1, sort_keys=True) + "\n")
        text = self.markdown.read_text() if self.markdown.exists() else SKELETON
        tables = {}
        for section, render in (("jobs", jobs_section), ("memory", memory_section), ("cold", cold_section)):
            if section in self.figures:
                tables[section] = render(self.figures)
                text = replaced(text, section, tables[section])
        self.markdown.write_text(text)
        if "jobs" in self.figures:
            environment.run_module("harness.plot", self.raw, self.plot)
        return tables


def replaced(text: str, section: str, content: str) -> str:
    """The text with what stands between a section's marks replaced."""
    begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"the page has no marks {begin} and {end} for the tables")
    return f"{before}{begin}\n{content}\n{end}{after}"


def median(result: dict | None, measure: str) -> float | None:
    """The median of a system's runs; none where it cannot do the job or failed."""
    if not result or "cannot" in result or "failed" in result or not result[measure]:
        return None
    return statistics.median(result[measure])


def best_peer(results: dict[str, dict], measure: str) -> tuple[float, str] | None:
    """The least median among the peers, and whose it is."""
    medians = [(median(results.get(peer), measure), peer) for peer in systems.PEERS]
    return min(((value, peer) for value, peer in medians if value is not None), default=None)


def ratio(results: dict[str, dict], measure: str) -> str:
    """Stepwell's median as a share of the best peer's."""
    own, best = median(results.get("stepwell"), measure), best_peer(results, measure)
    return "–" if own is None or best is None else f"{own / best[0]:.2f} ({TITLES[best[1]]})"


def _rows(cells: list[list[str]], left: int = 1) -> str:
    header, *rows = cells
    rule = ["---" if index < left else "---:" for index in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def about_machine(figures: dict) -> str:
    """A sentence on the machine and the versions."""
    machine = figures["machine"]
    peers = ", ".join(f"{TITLES[name].strip('*')} {figures['versions'][name]}" for name in systems.PEERS)
    return (
        f"Measured on {machine['processor']} ({machine['architecture']}), {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB of memory, {machine['kernel']}. Peers: {peers}."
    )


def jobs_section(figures: dict) -> str:
    """The machine, the ratios of all jobs, and a table for each job."""
    entries = figures["jobs"]
    plot = "![Wall time, CPU time and peak memory of each system and job](performance.svg)"
    parts = [about_machine(figures), plot, _summary(entries)]
    for job in systems.JOBS:
        if job in entries:
            parts.append(_job(job, entries[job]))
    return "\n\n".join(parts)


def _summary(entries: dict) -> str:
    header, rows = ["Stepwell ÷ best peer"], []
    counts = sorted({cores for entry in entries.values() for cores in entry["cores"]}, key=int)
    for cores in counts:
        header += [f"{name}, {_cores(cores)}" for name, _, _ in MEASURES.values()]
    for job in systems.JOBS:
        if job in entries:
            cells = [ratio(entries[job]["cores"].get(cores, {}), measure) for cores in counts for measure in MEASURES]
            rows.append([f"{job} {systems.JOBS[job]}", *cells])
    return _rows([header, *rows])


def _cores(count: str) -> str:
    return "1 core" if count == "1" else f"{count} cores"


def _job(job: str, entry: dict) -> str:
    counts = sorted(entry["cores"], key=int)
    header = ["system"] + [f"{name}, {_cores(cores)}" for cores in counts for name, _, _ in MEASURES.values()]
    rows, remarks = [], []
    for system in systems.SYSTEMS:
        cells = []
        for cores in counts:
            result = entry["cores"][cores].get(system)
            cells += _cells(result)
            for word in ("cannot", "failed"):
                if (
                    result
                    and word in result
                    and (remark := f"{TITLES[system].strip('*')} {word}: {result[word]}.") not in remarks
                ):
                    remarks.append(remark)
        sizes = [entry["cores"][cores].get(system, {}).get("bytes") for cores in counts]
        size = next((f"{size / 1e6:.0f}" for size in sizes if size), "–")
        if any(entry["cores"][cores].get(system) for cores in counts):
            rows.append([TITLES[system], *cells, size])
    caption = (
        f"### {job}: {systems.JOBS[job]}\n\n"
        f"{entry['source_bytes'] / 1e6:,.0f} MB in, {entry['rows']:,} records out. "
        f"Medians of {entry['rounds']}, {entry['measured']}, commit {entry['commit']}. {_spread(entry)}"
    )
    return "\n\n".join([caption, _rows([[*header, "output MB"], *rows]), *remarks])


def _cells(result: dict | None) -> list[str]:
    if not result:
        return ["–"] * len(MEASURES)
    for word in ("cannot", "failed"):
        if word in result:
            return [word] * len(MEASURES)
    return [f"{statistics.median(result[name]) / unit:{form}}" for name, (_, unit, form) in MEASURES.items()]


def _spread(entry: dict) -> str:
    runs = [result["wall_seconds"] for results in entry["cores"].values() for result in results.values()]
    spreads = [max(run) / min(run) for run in runs if run]
    return f"The slowest run of a system took at most {max(spreads, default=1):.2f} times its fastest."


def memory_section(figures: dict) -> str:
    """The peak memory for a small and a large file."""
    rows = [["cores", "source MB", "peak MB", "wall s", "peak ÷ peak of the small file"]]
    for cores, measured in sorted(figures["memory"]["cores"].items(), key=lambda item: int(item[0])):
        least = measured["runs"][0]["peak_bytes"]
        for run in measured["runs"]:
            numbers = [run["source_bytes"] / 1e6, run["peak_bytes"] / 1e6, run["wall_seconds"]]
            rows.append([cores, *(f"{number:,.0f}" for number in numbers), f"{run['peak_bytes'] / least:.2f}"])
    stamp = f"{figures['memory']['measured']}, commit {figures['memory']['commit']}."
    return f"{about_machine(figures).split(' Peers:')[0]} {stamp}\n\n{_rows(rows)}"


def cold_section(figures: dict) -> str:
    """Sizes and start times of the functions."""
    rows = [["function", "binary MB", "zipped MB", "start ms", "peak MB"]]
    for function, result in figures["cold"]["functions"].items():
        if "absent" in result:
            rows.append([function, result["absent"], "–", "–", "–"])
            continue
        seconds, peak = statistics.median(result["seconds"]), statistics.median(result["peak_bytes"])
        numbers = [result["bytes"] / 1e6, result["zip_bytes"] / 1e6, seconds * 1e3, peak / 1e6]
        rows.append([function, *(f"{number:.1f}" for number in numbers)])
    stamp = f"{figures['cold']['measured']}, commit {figures['cold']['commit']}."
    return f"{about_machine(figures).split(' Peers:')[0]} {stamp}\n\n{_rows(rows)}"
