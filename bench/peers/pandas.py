"""The jobs in pandas, on Arrow's types, in chunks where its readers can."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from peers.arrow_checks import checked
from peers.arrow_types import LINEITEM_SCHEMA, TYPES
from peers.job import Job, run
from schemas import EVENTS, LAST_SHIPDATE

WRITE = {"compression": "zstd", "compression_level": 3, "store_decimal_as_integer": True}
CHUNK_ROWS = 500_000
TEXT = pd.ArrowDtype(pa.string())
LAST = date.fromisoformat(LAST_SHIPDATE)


def filtered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["l_shipdate"] <= LAST]


def derived(frame: pd.DataFrame) -> pd.DataFrame:
    revenue = frame["l_extendedprice"] * (Decimal("1.00") - frame["l_discount"])
    return frame.assign(revenue=revenue.astype(pd.ArrowDtype(pa.decimal128(18, 4))))


def lineitem(job: Job) -> Iterator[pd.DataFrame]:
    types = {field.name: pd.ArrowDtype(field.type) for field in LINEITEM_SCHEMA}
    # Through text: the reader makes no exact decimals, and converts the rest more slowly than Arrow does.
    chunks = pd.read_csv(job.source, dtype=TEXT, chunksize=CHUNK_ROWS, keep_default_na=False)
    return (derived(filtered(chunk.astype(types))) for chunk in chunks)


def write(path: str, frames: Iterator[pd.DataFrame]) -> None:
    writer = None
    for frame in frames:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        writer = writer or parquet.ParquetWriter(path, table.schema, **WRITE)
        writer.write_table(table)
    if writer:
        writer.close()


def one_file(job: Job) -> None:
    write(job.file, lineitem(job))


def partitioned(job: Job) -> None:
    for number, frame in enumerate(lineitem(job)):
        shipped = frame["l_shipdate"].dt
        frame.assign(l_shipyear=shipped.year, l_shipmonth=shipped.month).to_parquet(
            job.table,
            partition_cols=["l_shipyear", "l_shipmonth"],
            basename_template=f"part-{number}-{{i}}.parquet",
            **WRITE,
        )


def with_rejects(job: Job) -> None:
    rejects = []

    def accepted() -> Iterator[pd.DataFrame]:
        texts = pd.read_csv(job.source, dtype=TEXT, chunksize=CHUNK_ROWS, na_filter=True)
        for chunk in texts:
            batch = pa.Table.from_pandas(chunk, preserve_index=False).combine_chunks().to_batches()[0]
            records, good, reasons = checked(batch)
            is_good = good.to_numpy(zero_copy_only=False)
            # The header is line 1, and no field holds a line end.
            bad = chunk[~is_good]
            rejects.append(bad.assign(line=bad.index + 2, reason=reasons))
            yield derived(filtered(records.to_pandas(types_mapper=pd.ArrowDtype)[is_good]))

    write(job.file, accepted())
    pd.concat(rejects).to_parquet(job.rejects, index=False, **WRITE)


def events(job: Job) -> None:
    def value(frame: pd.DataFrame, path: str) -> pd.Series:
        top, *below = path.split(".")
        return frame[top].struct.field(below) if below else frame[top]

    # Only Arrow's reader keeps objects as structs, and it reads the file as a whole.
    frame = pd.read_json(job.source, lines=True, engine="pyarrow", dtype_backend="pyarrow")
    types = {column.name: pd.ArrowDtype(TYPES[column.sql_type]) for column in EVENTS}
    columns = {column.name: value(frame, column.path) for column in EVENTS}
    write(job.file, iter([pd.DataFrame(columns).astype(types)]))


if __name__ == "__main__":
    run({"J1": one_file, "J2": partitioned, "J3": events, "J4": with_rejects, "J5": one_file})
