"""What a check found, and what is known and kept for a reason."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, order=True)
class Finding:
    """One fault of the template.

    `resource` is a logical id, or another name of the template (a parameter, an output); `path` leads to the fault in the
    translated template as far as the tool tells it; `variants` are those in which it was found, none for the whole template.
    """

    tool: str
    rule: str
    resource: str
    message: str
    path: tuple = ()
    variants: tuple = ()

    def text(self, place):
        """One line, at a place in the source."""
        within = f" [{', '.join(self.variants)}]" if self.variants else ""
        return f"{place}: {self.tool} {self.rule} {self.resource}: {' '.join(self.message.split())}{within}"


def merged(findings):
    """The same finding of several variants as one."""
    variants = {}
    for finding in findings:
        key = (finding.tool, finding.rule, finding.resource, finding.message)
        kept, names = variants.setdefault(key, (finding, []))
        names.extend(name for name in finding.variants if name not in names)
    return sorted(
        Finding(kept.tool, kept.rule, kept.resource, kept.message, kept.path, tuple(names)) for kept, names in variants.values()
    )


@dataclass(frozen=True)
class Suppression:
    """A finding that is kept, and why. In `rule`, `resource` and `message` % stands for any text, as in SQL: rules of tools
    have asterisks and brackets of their own."""

    tool: str
    rule: str
    resource: str
    reason: str
    message: str = "%"
    variant: str = ""

    def covers(self, finding):
        """Whether it is of this finding; one with a variant is of what is found in that variant alone."""
        if self.variant and finding.variants != (self.variant,):
            return False
        wanted = ((self.rule, finding.rule), (self.resource, finding.resource), (self.message, finding.message))
        return self.tool == finding.tool and all(matches(pattern, text) for pattern, text in wanted)


def matches(pattern, text):
    """Whether a text is as a pattern says."""
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("%")), text, re.DOTALL) is not None


def suppressions(path):
    """Reads the suppressions; each must say why."""
    entries = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or []
    read = [Suppression(**entry) for entry in entries]
    for entry in read:
        if len(entry.reason.split()) < 4:
            raise ValueError(f"{path}: {entry.tool} {entry.rule} {entry.resource} is suppressed without a reason")
    return read


def divided(findings, kept):
    """What is left of the findings, and the suppressions that no finding needed."""
    used = set()
    left = []
    for finding in findings:
        covering = [entry for entry in kept if entry.covers(finding)]
        used.update(covering)
        if not covering:
            left.append(finding)
    return left, [entry for entry in kept if entry not in used]
