"""Holds bills of materials against the schema of CycloneDX 1.6; prints what is wrong, and fails if something is.

    python valid_bills.py <file>…
"""

import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

failed = False
for file in sys.argv[1:]:
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(Path(file).read_text(encoding="utf-8"))
    if error is not None:
        failed = True
        print(f"{file}: {error}")
sys.exit(failed)
