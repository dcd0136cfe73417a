"""Conditions: each is checked both ways."""

from resolve import conditions


def faults(variant):
    """Conditions that no variant makes true, or none false."""
    sets = variant.project.parameter_sets(variant.sam)
    values = [conditions(variant.sam, parameters) for parameters in sets.values()]
    for name in variant.sam.get("Conditions", {}):
        seen = {bool(one[name]) for one in values}
        if len(seen) == 1:
            yield "untried", ("Conditions", name), f"{seen.pop()} in every variant of infra/check/variants.yaml"
