"""Holds OpenLineage events against the published schemas.

The OpenLineage project generates the classes of its Python client from those schemas. Every event must fit them, and more
strictly than the schemas ask: a field that a class does not know is wrong, too, since it would be a misspelt one.

Usage: openlineage_check.py FOLDER… Prints how many events and facets there are, or what is wrong with them.
"""

import enum
import importlib
import json
import pathlib
import pkgutil
import sys
import types
import typing

import attr
from openlineage.client import generated
from openlineage.client.generated import base

# Facets stand under the name that their schema gives them, which the classes do not say.
NAMES = {
    "ProcessingEngineRunFacet": "processing_engine",
    "ExternalQueryRunFacet": "externalQuery",
    "TagsRunFacet": "tags",
    "ErrorMessageRunFacet": "errorMessage",
    "JobTypeJobFacet": "jobType",
    "SQLJobFacet": "sql",
    "DatasourceDatasetFacet": "dataSource",
    "DatasetTypeDatasetFacet": "datasetType",
    "StorageDatasetFacet": "storage",
    "DatasetVersionDatasetFacet": "version",
    "SchemaDatasetFacet": "schema",
    "ColumnLineageDatasetFacet": "columnLineage",
    "LifecycleStateChangeDatasetFacet": "lifecycleStateChange",
    "InputStatisticsInputDatasetFacet": "inputStatistics",
    "DataQualityMetricsInputDatasetFacet": "dataQualityMetrics",
    "DataQualityAssertionsDatasetFacet": "dataQualityAssertions",
    "OutputStatisticsOutputDatasetFacet": "outputStatistics",
}

# Where the descriptions of the schemas list the values of a text.
VALUES = {
    ("Transformation", "type"): {"DIRECT", "INDIRECT"},
    ("Transformation", "subtype"): {
        *("IDENTITY", "TRANSFORMATION", "AGGREGATION"),
        *("JOIN", "GROUP_BY", "FILTER", "SORT", "WINDOW", "CONDITIONAL"),
    },
    ("JobTypeJobFacet", "processingType"): {"BATCH", "STREAMING", "SERVICE"},
    ("StorageDatasetFacet", "fileFormat"): {"parquet", "orc", "avro", "json", "csv", "text", "xml"},
    ("Assertion", "severity"): {"error", "warn"},
}


def facet_classes():
    """The classes of facets, by the URL of their schema."""
    classes = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for value in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, base.BaseFacet):
                classes[value._get_schema()] = value
    return classes


FACETS = facet_classes()


class Check:
    """Gathers what is wrong with one event."""

    def __init__(self):
        self.wrong = []
        self.facets = 0

    def value(self, value, hint, path):
        """Holds a value against a type."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            (hint,) = [argument for argument in arguments if argument is not type(None)]
            self.value(value, hint, path)
        elif origin is list:
            if self.of(value, list, path):
                for index, item in enumerate(value):
                    self.value(item, arguments[0], f"{path}[{index}]")
        elif origin is dict:
            if self.of(value, dict, path):
                for key, item in value.items():
                    self.item(key, item, arguments[1], f"{path}.{key}")
        elif attr.has(hint):
            self.object(value, hint, path)
        elif isinstance(hint, type) and issubclass(hint, enum.Enum):
            if value not in {member.value for member in hint}:
                self.wrong.append(f"{path}: {value!r} is no {hint.__name__}")
        elif hint is float:
            self.of(value, (int, float), path)
        elif hint is not typing.Any:
            self.of(value, hint, path)

    def of(self, value, kind, path):
        """Whether a value is of a kind; a boolean is no number."""
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not fits:
            self.wrong.append(f"{path}: {value!r} is no {kind}")
        return fits

    def item(self, key, value, hint, path):
        """Holds an entry of a map against its type: facets against that of their own schema."""
        if not (isinstance(hint, type) and issubclass(hint, base.BaseFacet)):
            self.value(value, hint, path)
            return
        self.facets += 1
        found = FACETS.get(value.get("_schemaURL"))
        if found is None:
            self.wrong.append(f"{path}: nobody publishes {value.get('_schemaURL')}")
        elif not issubclass(found, hint) or NAMES.get(found.__name__) != key:
            self.wrong.append(f"{path}: {found.__name__} does not stand here")
        else:
            self.object(value, found, path)

    def object(self, value, cls, path):
        """Holds an object against a class: its fields, what must be there, and what its validators say."""
        if not self.of(value, dict, path):
            return
        hints, fields = typing.get_type_hints(cls), attr.fields_dict(cls)
        for name in value.keys() - fields.keys():
            self.wrong.append(f"{path}: {cls.__name__} has no field {name}")
        for name, field in fields.items():
            is_required = field.default is attr.NOTHING or name in ("producer", "schemaURL", "_producer", "_schemaURL")
            if name not in value:
                if is_required:
                    self.wrong.append(f"{path}: {name} is missing")
                continue
            self.value(value[name], hints[name], f"{path}.{name}")
            allowed = VALUES.get((cls.__name__, name))
            if allowed and value[name] not in allowed:
                self.wrong.append(f"{path}.{name}: {value[name]!r} is none of {sorted(allowed)}")
            if field.validator:
                try:
                    field.validator(None, field, value[name])
                except ValueError as error:
                    self.wrong.append(f"{path}.{name}: {error}")
        if cls is base.RunEvent and value.get("schemaURL") != cls._get_schema():
            self.wrong.append(f"{path}.schemaURL: {value.get('schemaURL')} is not {cls._get_schema()}")


def main():
    """Checks all events in the folders."""
    events = facets = 0
    failed = False
    for file in sorted(file for folder in sys.argv[1:] for file in pathlib.Path(folder).rglob("*.json")):
        check = Check()
        check.value(json.loads(file.read_text()), base.RunEvent, "event")
        events, facets = events + 1, facets + check.facets
        for problem in check.wrong:
            failed = True
            print(f"{file}: {problem}")
    print(f"{events} events, {facets} facets")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
