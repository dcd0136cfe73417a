"""The jobs in pyarrow, streaming."""

from collections.abc import Iterator
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, dataset, json, parquet

from peers.arrow_checks import Splitter
from peers.arrow_types import LINEITEM_SCHEMA, TYPES
from peers.job import Job, run
from schemas import EVENTS, LAST_SHIPDATE, nested

# Larger ones take as long and much more memory, except where each batch is split among 84 files.
BLOCK_BYTES = 1 << 20
PARTITIONED_BLOCK_BYTES = 8 << 20
WRITE = {"compression": "zstd", "compression_level": 3, "store_decimal_as_integer": True}
LAST = pa.scalar(LAST_SHIPDATE).cast(pa.date32())
ONE = pa.scalar(Decimal("1.00"), pa.decimal128(3, 2))


def limit_threads(job: Job) -> None:
    pa.set_cpu_count(job.threads)
    pa.set_io_thread_count(max(2, job.threads))


def filtered(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.filter(pc.less_equal(batch["l_shipdate"], LAST))


def derived(batch: pa.RecordBatch) -> pa.RecordBatch:
    revenue = pc.multiply(batch["l_extendedprice"], pc.subtract(ONE, batch["l_discount"]))
    return batch.append_column("revenue", revenue.cast(pa.decimal128(18, 4)))


def lineitem(job: Job, block_bytes: int = BLOCK_BYTES) -> Iterator[pa.RecordBatch]:
    limit_threads(job)
    convert = csv.ConvertOptions(column_types=LINEITEM_SCHEMA, strings_can_be_null=False)
    reader = csv.open_csv(job.source, csv.ReadOptions(block_size=block_bytes), convert_options=convert)
    return (derived(filtered(batch)) for batch in reader)


def write(path: str, batches: Iterator[pa.RecordBatch]) -> None:
    first = next(batches)
    with parquet.ParquetWriter(path, first.schema, **WRITE) as writer:
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)


def one_file(job: Job) -> None:
    write(job.file, lineitem(job))


def with_month(batch: pa.RecordBatch) -> pa.RecordBatch:
    year, month = pc.year(batch["l_shipdate"]), pc.month(batch["l_shipdate"])
    batch = batch.append_column("l_shipyear", year.cast(pa.int32()))
    return batch.append_column("l_shipmonth", month.cast(pa.int32()))


def partitioned(job: Job) -> None:
    batches = map(with_month, lineitem(job, PARTITIONED_BLOCK_BYTES))
    first = next(batches)
    keys = pa.schema([("l_shipyear", pa.int32()), ("l_shipmonth", pa.int32())])
    options = dataset.ParquetFileFormat().make_write_options(**WRITE)

    def all_batches() -> Iterator[pa.RecordBatch]:
        yield first
        yield from batches

    dataset.write_dataset(
        all_batches(),
        job.table,
        schema=first.schema,
        format="parquet",
        file_options=options,
        partitioning=dataset.partitioning(keys, flavor="hive"),
        # Without a lower bound each batch becomes 84 row groups.
        min_rows_per_group=32 << 10,
    )


def with_rejects(job: Job) -> None:
    limit_threads(job)
    splitter = Splitter()
    # Only without threads is the handler told the number of a record that has too few fields.
    reader = csv.open_csv(
        job.source,
        csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
        parse_options=csv.ParseOptions(invalid_row_handler=splitter.skip),
        convert_options=csv.ConvertOptions(
            column_types={name: pa.string() for name in LINEITEM_SCHEMA.names}, strings_can_be_null=False
        ),
    )
    write(job.file, (derived(filtered(splitter.split(batch))) for batch in reader))
    parquet.write_table(splitter.rejects(), job.rejects, **WRITE)


def events(job: Job) -> None:
    limit_threads(job)
    fields = nested(EVENTS, lambda column: TYPES[column.sql_type], lambda below: pa.struct(list(below.items())))
    parse = json.ParseOptions(explicit_schema=pa.schema(list(fields.items())), unexpected_field_behavior="error")
    reader = json.open_json(job.source, json.ReadOptions(block_size=BLOCK_BYTES), parse)

    def value(batch: pa.RecordBatch, path: str) -> pa.Array:
        top, *below = path.split(".")
        return pc.struct_field(batch[top], below) if below else batch[top]

    names = [column.name for column in EVENTS]
    write(
        job.file,
        (pa.record_batch([value(batch, column.path) for column in EVENTS], names=names) for batch in reader),
    )


if __name__ == "__main__":
    run({"J1": one_file, "J2": partitioned, "J3": events, "J4": with_rejects, "J5": one_file})
