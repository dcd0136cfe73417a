"""Does to the SAM template what `sam build` and `sam package` do, and nothing else.

Each function's binary goes into a zip archive as `bootstrap`; every CodeUri and DefinitionUri becomes the S3
location of what it names. Archives, definition and `template.json` end up in the output folder, named by their keys.

    python package.py <template.yaml> <folder of binaries> <output folder> <bucket>
"""

import json
import sys
import zipfile
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse


def archive(binary, target):
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    with zipfile.ZipFile(target, "w") as file, file.open(entry, "w") as member, binary.open("rb") as source:
        while chunk := source.read(1 << 20):
            member.write(chunk)


def main(template_path, binaries, output, bucket):
    output.mkdir(parents=True, exist_ok=True)
    template = yaml_parse(template_path.read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            name = resource["Metadata"]["BuildProperties"]["Binary"]
            archive(binaries / name, output / f"{name}.zip")
            properties["CodeUri"] = {"Bucket": bucket, "Key": f"{name}.zip"}
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            definition = (template_path.parent / properties["DefinitionUri"]).resolve()
            (output / definition.name).write_bytes(definition.read_bytes())
            properties["DefinitionUri"] = {"Bucket": bucket, "Key": definition.name}
    (output / "template.json").write_text(json.dumps(template, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
