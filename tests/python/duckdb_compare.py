"""Compares a table that Stepwell made with what DuckDB makes of the same file, types and SQL.

Counts and contents must be equal, duplicates and nulls included; so must the types of the columns that the pipeline
declares. Prints the number of records.

    python duckdb_compare.py <pipeline.yaml> <source.csv> <folder of the table>
"""

import sys

import duckdb
import yaml

TYPES = {
    "int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT",
    "uint8": "UTINYINT", "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT",
    "float32": "FLOAT", "float64": "DOUBLE", "boolean": "BOOLEAN", "string": "VARCHAR",
    "date": "DATE", "timestamp": "TIMESTAMP",
}  # fmt: skip


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def main(pipeline_path, source, table):
    with open(pipeline_path, encoding="utf-8") as file:
        pipeline = yaml.safe_load(file)
    columns = {column["name"]: TYPES[column["type"]] for column in pipeline["schema"]}
    formats = {column["format"] for column in pipeline["schema"] if "format" in column}
    nulls = pipeline["source"].get("csv", {}).get("nulls", [""])
    partitions = {name: columns[name] for name in pipeline["load"].get("partition_by", [])}

    struct = ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, kind in columns.items())
    options = [
        f"columns = {{{struct}}}", "header = true", "auto_detect = false", "delim = ','", "quote = '\"'",
        f"nullstr = [{', '.join(map(quoted, nulls))}]",
        *(f"timestampformat = {quoted(text)}" for text in formats),
    ]  # fmt: skip
    database = duckdb.connect()
    database.execute(f"CREATE TABLE input AS FROM read_csv({quoted(source)}, {', '.join(options)})")
    database.execute(f"CREATE TABLE expected AS {pipeline['transform']['sql']}")
    hive = ", ".join(f"{name}: {kind}" for name, kind in partitions.items())
    files = quoted(f"{table}/**/*.parquet")
    parquet = f"read_parquet({files}, hive_partitioning = true, hive_types = {{{hive}}})"
    described = database.execute("DESCRIBE expected").fetchall()
    names = ", ".join(f'"{name}"' for name, *_ in described)
    database.execute(f"CREATE TABLE made AS SELECT {names} FROM {parquet}")

    made = {name: kind for name, kind, *_ in database.execute("DESCRIBE made").fetchall()}
    for name, kind, *_ in described:
        if name in columns and made[name] != kind:
            sys.exit(f"{name} is {made[name]} instead of {kind}")
    missing, extra = (
        database.execute(f"FROM {one} EXCEPT ALL FROM {other}").fetchall()
        for one, other in (("expected", "made"), ("made", "expected"))
    )
    if missing or extra:
        sys.exit(f"{len(missing)} records are missing, as {missing[:3]}; {len(extra)} are too many, as {extra[:3]}")
    (expected,) = database.execute("SELECT count(*) FROM expected").fetchone()
    (count,) = database.execute("SELECT count(*) FROM made").fetchone()
    if expected != count:
        sys.exit(f"{count} records instead of {expected}")
    print(count)


if __name__ == "__main__":
    main(*sys.argv[1:])
