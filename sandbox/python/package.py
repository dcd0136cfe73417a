"""Does to the SAM template what `sam build` and `sam package` do, and nothing else.

Each function's binary goes into a zip archive as `bootstrap`; every CodeUri and DefinitionUri becomes the S3
location of what it names. Archives, definition and `template.json` end up in the output folder, named by their keys,
which have a digest of their content, so that what changed is deployed anew.

    python package.py <template.yaml> <folder of binaries> <output folder> <bucket>
"""

import hashlib
import json
import shutil
import sys
import zipfile
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse


def keyed(path):
    """The file's name with a digest of its content in it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return f"{path.stem}-{digest.hexdigest()[:16]}{path.suffix}"


def archive(binary, target):
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    with zipfile.ZipFile(target, "w") as file, file.open(entry, "w") as member, binary.open("rb") as source:
        shutil.copyfileobj(source, member, 1 << 20)


def main(template_path, binaries, output, bucket):
    output.mkdir(exist_ok=True)
    template = yaml_parse(template_path.read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            binary = binaries / resource["Metadata"]["BuildProperties"]["Binary"]
            key = f"{keyed(binary)}.zip"
            archive(binary, output / key)
            properties["CodeUri"] = {"Bucket": bucket, "Key": key}
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            definition = (template_path.parent / properties["DefinitionUri"]).resolve()
            key = keyed(definition)
            shutil.copyfile(definition, output / key)
            properties["DefinitionUri"] = {"Bucket": bucket, "Key": key}
    (output / "template.json").write_text(json.dumps(template, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
