"""Tells good records from bad ones among columns of text, for the peers whose casts give up at the first bad value."""

import pyarrow as pa
import pyarrow.compute as pc

from peers.arrow_types import LINEITEM_SCHEMA

INTEGER = r"^[+-]?[0-9]+$"
DECIMAL = r"^[+-]?[0-9]{1,13}(\.[0-9]{0,2})?$"


def typed(texts: pa.Array, column_type: pa.DataType) -> pa.Array:
    """The texts as values of a type; null where one is none."""
    if pa.types.is_string(column_type):
        return texts
    if pa.types.is_date32(column_type):
        return pc.strptime(texts, format="%Y-%m-%d", unit="s", error_is_null=True).cast(column_type)
    try:
        return texts.cast(column_type)
    except pa.ArrowInvalid:
        pattern = DECIMAL if pa.types.is_decimal(column_type) else INTEGER
        matches = pc.match_substring_regex(texts, pattern)
        return pc.if_else(matches, texts, pa.scalar(None, pa.string())).cast(column_type)


def checked(texts: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Array, list[str]]:
    """The typed records, which of them are good, and for each bad one, in order, what is wrong."""
    arrays = [typed(texts[field.name], field.type) for field in LINEITEM_SCHEMA]
    records = pa.record_batch(arrays, schema=LINEITEM_SCHEMA)
    good = None
    for array in arrays:
        if array.null_count:
            good = array.is_valid() if good is None else pc.and_(good, array.is_valid())
    if good is None:
        return records, pa.repeat(pa.scalar(True), len(texts)), []
    bad = records.filter(pc.invert(good))
    reasons = [
        "no valid " + next(name for name in LINEITEM_SCHEMA.names if row[name] is None) for row in bad.to_pylist()
    ]
    return records, good, reasons


class Splitter:
    """Keeps the good records of a CSV stream and gathers the bad ones."""

    def __init__(self) -> None:
        self._ragged: list[tuple[int, str]] = []
        self._faulty: list[tuple[int, str, list[str]]] = []
        self._rows = 0

    def skip(self, row) -> str:
        """What the reader calls for a record with a wrong number of fields."""
        self._ragged.append((row.number, row.text))
        return "skip"

    def split(self, texts: pa.RecordBatch) -> pa.RecordBatch:
        """The good records of a batch."""
        records, good, reasons = checked(texts)
        if reasons:
            positions = pc.indices_nonzero(pc.invert(good)).to_pylist()
            for position, reason in zip(positions, reasons, strict=True):
                values = [column[position].as_py() for column in texts.columns]
                self._faulty.append((self._rows + position, reason, values))
        self._rows += len(texts)
        return records.filter(good) if reasons else records

    def rejects(self) -> pa.Table:
        """The bad records, with their lines."""
        ragged = sorted(self._ragged)
        rows = [(number, "too few fields", text) for number, text in ragged]
        skipped = 0
        for index, reason, values in self._faulty:
            # The header is line 1. Records that were skipped are lines, but are not counted among the rows.
            line = index + 2 + skipped
            while skipped < len(ragged) and ragged[skipped][0] <= line:
                skipped += 1
                line += 1
            rows.append((line, reason, ",".join(values)))
        lines, reasons, texts = zip(*sorted(rows), strict=True) if rows else ((), (), ())
        return pa.table({"line": pa.array(lines, pa.int64()), "reason": reasons, "record": texts})
