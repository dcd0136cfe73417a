"""The template as it would be deployed: translated, under each variant of its parameters."""

import json
import re
from functools import cached_property
from pathlib import Path

import yaml

from resolve import Resolver, choose, conditions, listed
from source import Source
from translate import read, translate

HERE = Path(__file__).parent


class Project:
    """The files that are checked, and what they are held against."""

    def __init__(self, path):
        self.path = Path(path)
        self.text = self.path.read_text(encoding="utf-8")
        self.source = Source(self.text)
        self.root = self.path.resolve().parent.parent
        self.machine = (self.root / "statemachine/etl.asl.json").read_text(encoding="utf-8")
        self.settings = (self.root / "aws/src/settings.rs").read_text(encoding="utf-8")

    def template(self):
        """The SAM template as a tree, anew at each call."""
        return read(self.text)

    def variants(self, template=None):
        """The template (or another in its place) under each variant."""
        template = template or self.template()
        return [Variant(self, name, template, values) for name, values in self.parameter_sets(template).items()]

    def variant(self, name, template):
        """One variant of a template."""
        return Variant(self, name, template, self.parameter_sets(template)[name])

    def parameter_sets(self, template):
        """Of each variant, the value of each parameter that the template has."""
        chosen = yaml.safe_load((HERE / "variants.yaml").read_text(encoding="utf-8"))
        declared = template.get("Parameters", {})
        return {
            name: {
                key: str(values.get(key, body.get("Default", f"given-{key}"))) for key, body in declared.items()
            }
            for name, values in chosen.items()
        }

    def written(self, path):
        """What stands at a path of the template as it is in the file, if anything does."""
        node = self._template
        for step in path:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                return None
        return node

    @cached_property
    def _template(self):
        return self.template()

    @cached_property
    def _code(self):
        files = sorted(self.root.glob("*/src/**/*.rs"))
        return [file.read_text(encoding="utf-8") for file in files if file.parts[len(self.root.parts)] not in ("tests", "target")]

    @cached_property
    def required(self):
        """The environment variables without which some function does not start."""
        return {name for text in self._code for name in re.findall(r'\brequired\(\s*"([A-Z_]+)"', text)}

    def measures(self, metric):
        """Whether the code names a metric, as a text or as one of `Metric`."""
        named = re.compile(rf'(?:Metric::|"){re.escape(metric)}\b')
        return any(named.search(code) for code in self._code)

    @cached_property
    def runbook_sections(self):
        """The anchors of the runbook's headings; none while there is no runbook."""
        page = self.root / "docs/runbook.md"
        headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE) if page.exists() else []
        return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


class Variant:
    """The template under given parameters.

    `translated` is CloudFormation with its conditions; `template` has them worked out; `resources` has no intrinsic function
    left, but names and ARNs made up from logical ids.
    """

    def __init__(self, project, name, sam, parameters):
        self.project = project
        self.name = name
        self.sam = sam
        self.parameters = parameters
        self.translated = translate(sam, parameters)
        self.template = choose(self.translated, self.parameters)

    @property
    def conditions(self):
        """Each condition's value."""
        return conditions(self.translated, self.parameters)

    @cached_property
    def resolver(self):
        """What replaces references here."""
        values = {name: listed(self.sam, name, value) for name, value in self.parameters.items()}
        return Resolver(self.template, values)

    @cached_property
    def resources(self):
        """The resources without intrinsic functions."""
        return self.resolver.resources()

    def of_type(self, *types):
        """Pairs of logical id and properties."""
        return [
            (name, body.get("Properties", {})) for name, body in self.resources.items() if body.get("Type") in types
        ]

    @cached_property
    def arns(self):
        """The logical id of each ARN."""
        return {self.resolver.arn(name): name for name in self.resources}

    def named(self, arn):
        """The logical id and type of what an ARN names, or none where it is not of this template."""
        name = self.arns.get(arn)
        return (name, self.resources[name]["Type"]) if name else (None, None)

    def function_of(self, text):
        """The logical id of the function that a name, an ARN, a version's or an alias's ARN means."""
        return self.invoked(text)[0]

    def invoked(self, text):
        """The logical id of a function, and the version or alias by which it is meant; without one it is `$LATEST`."""
        name, qualifier = text, "$LATEST"
        if isinstance(text, str) and ":function:" in text:
            parts = text.split(":function:")[1].split(":")
            name, qualifier = parts[0], parts[1] if len(parts) > 1 else qualifier
        known = isinstance(name, str) and self.resources.get(name, {}).get("Type") == "AWS::Lambda::Function"
        return (name, qualifier) if known else (None, None)

    def json(self):
        """The template with its conditions worked out, as tools read it."""
        return json.dumps(self.template, indent=1)
