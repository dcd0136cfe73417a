"""Holds documents of the embedded metric format against AWS's schema, and against what its page says beside the schema.

    python emf.py <schema.json> <file of documents, one a line>

Prints how many documents there were; the first that is wrong ends it.
"""

import json
import sys
import time

from jsonschema import Draft7Validator

# CloudWatch User Guide, "Specification: Embedded metric format" and "CloudWatch Logs quotas".
METRICS_MAX = 100
DOCUMENT_BYTES_MAX = 256 * 1024
DAYS_AGO_MAX = 14
HOURS_AHEAD_MAX = 2


def check(document, line):
    assert len(line.encode()) <= DOCUMENT_BYTES_MAX, "the document is too large"
    age_seconds = time.time() - document["_aws"]["Timestamp"] / 1000
    assert -HOURS_AHEAD_MAX * 3600 < age_seconds < DAYS_AGO_MAX * 86400, "CloudWatch Logs would refuse the timestamp"
    for directive in document["_aws"]["CloudWatchMetrics"]:
        assert 0 < len(directive["Metrics"]) <= METRICS_MAX, "there are no metrics, or too many"
        for metric in directive["Metrics"]:
            values = document[metric["Name"]]
            values = values if isinstance(values, list) else [values]
            assert values and all(type(value) in (int, float) for value in values), f"{metric['Name']} is no number"
        for name in {name for names in directive["Dimensions"] for name in names}:
            value = document[name]
            assert isinstance(value, str) and 0 < len(value) <= 1024 and value.isascii(), f"{name} is no dimension"


def main(schema_path, documents_path):
    with open(schema_path, encoding="utf-8") as file:
        schema = json.load(file)
    Draft7Validator.check_schema(schema)
    validator = Draft7Validator(schema)
    count = 0
    with open(documents_path, encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            validator.validate(document)
            check(document, line)
            count += 1
    print(count)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
