"""Schedules: the syntax of rate, cron and at, which no schema holds (EventBridge Scheduler User Guide, "Schedule types")."""

import re
from datetime import datetime
from zoneinfo import available_timezones

MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
DAYS = "SUN MON TUE WED THU FRI SAT".split()
# Name, least, greatest, names of values (of which the first is the least), letters with a meaning of their own.
FIELDS = (
    ("minutes", 0, 59, [], ""),
    ("hours", 0, 23, [], ""),
    ("day of month", 1, 31, [], "?LW"),
    ("month", 1, 12, MONTHS, ""),
    ("day of week", 1, 7, DAYS, "?L#"),
    ("year", 1970, 2199, [], ""),
)


def faults(variant):
    """Expressions that the services refuse, or that mean something else."""
    for kind in ("AWS::Scheduler::Schedule", "AWS::Events::Rule"):
        for name, properties in variant.of_type(kind):
            expression = properties.get("ScheduleExpression")
            path = ("Resources", name, "Properties", "ScheduleExpression")
            if expression is None:
                continue
            wrong = mistake(str(expression), kind == "AWS::Scheduler::Schedule")
            if wrong:
                yield "schedule", path, f"{expression}: {wrong}"
            zone = properties.get("ScheduleExpressionTimezone")
            if zone is not None and zone not in available_timezones():
                yield "schedule", path, f"there is no time zone {zone}"


def mistake(expression, scheduler):
    """What is wrong with an expression, if anything is."""
    parts = re.fullmatch(r"(rate|cron|at)\((.*)\)", expression)
    if not parts:
        return "neither rate(…), cron(…) nor at(…)"
    match parts[1]:
        case "rate":
            return _rate(parts[2])
        case "cron":
            return _cron(parts[2])
    return _at(parts[2]) if scheduler else "rules know no at(…), only schedules do"


def _rate(text):
    parts = re.fullmatch(r"([0-9]+) (minute|hour|day)(s?)", text)
    if not parts or int(parts[1]) == 0:
        return "a rate is a whole number above 0 and minutes, hours or days"
    if (int(parts[1]) == 1) == (parts[3] == "s"):
        return "the unit is singular for 1, else plural"
    return None


def _at(text):
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return "a moment is written yyyy-mm-ddThh:mm:ss"
    return None


def _cron(text):
    fields = text.split()
    if len(fields) != len(FIELDS):
        return f"cron has six fields (minutes, hours, day of month, month, day of week, year), not {len(fields)}"
    for value, field in zip(fields, FIELDS, strict=True):
        if not all(_part(part, field) for part in value.split(",")):
            return f"{value} is no {field[0]}"
    if (fields[2] == "?") == (fields[4] == "?"):
        return "one of day of month and day of week must be ?, and only one"
    return None


def _part(text, field):
    _, least, greatest, names, letters = field
    if text == "?":
        return "?" in letters
    if "L" in letters and re.fullmatch(r"L|LW|L-[0-9]+|[1-7]L", text):
        return True
    if "W" in letters and re.fullmatch(r"([0-9]+)W", text):
        return least <= int(text[:-1]) <= greatest
    if "#" in letters and "#" in text:
        day, _, number = text.partition("#")
        return _number(day, least, greatest, names) is not None and number in "12345"
    base, slash, step = text.partition("/")
    if slash and not (step.isdigit() and int(step) > 0):
        return False
    if base == "*":
        return True
    first, dash, last = base.partition("-")
    values = [_number(value, least, greatest, names) for value in ([first, last] if dash else [first])]
    return None not in values and values == sorted(values)


def _number(text, least, greatest, names):
    if text.upper() in names:
        return names.index(text.upper()) + least
    return int(text) if text.isdigit() and least <= int(text) <= greatest else None
