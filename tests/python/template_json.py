"""Prints a SAM template as JSON, its tags as the functions that they stand for.

    python template_json.py <template.yaml>
"""

import json
import sys
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

print(json.dumps(yaml_parse(Path(sys.argv[1]).read_text(encoding="utf-8"))))
