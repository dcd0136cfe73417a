"""Counts the records of Parquet files, and how many different values a column has in them.

    python count_records.py <column> <folder>
"""

import sys

import duckdb


def main(column, folder):
    query = f'SELECT count(*), count(DISTINCT "{column}") FROM read_parquet($files, hive_partitioning = false)'
    print(*duckdb.execute(query, {"files": f"{folder}/**/*.parquet"}).fetchone())


if __name__ == "__main__":
    main(*sys.argv[1:])
