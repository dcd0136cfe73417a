"""Builds the functions and packs them: the same commit gives the same bytes, wherever it is checked out.

    python3 infra/package.py OUTPUT [--target TRIPLE] [--binaries FOLDER] [--cargo "cargo build"]

OUTPUT gets for each function `<name>.zip` (the binary as `bootstrap`) and `<name>.cdx.json` (its bill of materials,
CycloneDX 1.6), and once `third-party-licences.txt` and `SHA256SUMS`. Nothing but Python's own library and cargo is
needed. With --binaries nothing is built, and the binaries are taken from that folder. docs/releasing.md has the reasons.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import uuid
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ["extract", "transform", "load", "notify", "trigger"]
PACKAGES = [f"stepwell-{name}" for name in FUNCTIONS]
FEATURES = ",".join(f"{package}/lambda" for package in PACKAGES)
# One selection for building and for the bill of materials: cargo unifies the features of what is built together.
SELECTION = [argument for package in PACKAGES for argument in ("-p", package)] + ["--features", FEATURES, "--locked"]
LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|unlicense)", re.IGNORECASE)


def output_of(*command, **environment):
    """What the command prints; a failure ends the program with the command's own message."""
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True, text=True, stdout=subprocess.PIPE).stdout


def host():
    return re.search(r"^host: (.+)$", output_of("rustc", "-vV"), re.MULTILINE)[1]


def environment(target_folder):
    """Takes the places of this machine out of what compilers write into binaries: panic messages, `__FILE__`."""
    home = os.environ.get("CARGO_HOME") or str(Path.home() / ".cargo")
    # Of two that fit, rustc takes the last.
    places = [(str(ROOT), "/stepwell"), (str(target_folder), "/target"), (home, "/cargo")]
    return {
        "CARGO_TARGET_DIR": str(target_folder),
        "CARGO_INCREMENTAL": "0",
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(f"--remap-path-prefix={place}={name}" for place, name in places),
        "CFLAGS": " ".join(f"-ffile-prefix-map={place}={name}" for place, name in places),
    }


def build(cargo, target):
    folder = ROOT / "target" / "package"
    subprocess.run([*cargo, "--release", "--target", target, *SELECTION], cwd=ROOT, env={**os.environ, **environment(folder)}, check=True)
    return folder / target / "release"


def archive(binary, path):
    """A zip of the binary as `bootstrap`, with nothing in it of when, where and by whom it was made.

    Stored, not deflated: what deflate gives depends on the version of zlib.
    """
    entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3  # Unix, whichever system packs: the permissions are Unix's.
    entry.external_attr = 0o100755 << 16
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr(entry, binary.read_bytes())


def edges(target):
    """What each crate is linked with, by (name, version), as cargo resolves it for the target."""
    tree = output_of("cargo", "tree", *SELECTION, "--target", target, "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}")
    found, way = {}, []
    for line in filter(None, tree.splitlines()):
        depth, name, version = re.match(r"(\d+) (\S+) v(\S+)", line).groups()
        way = [*way[: int(depth)], (name, version)]
        found.setdefault(way[-1], set())
        if len(way) > 1:
            found[way[-2]].add(way[-1])
    return found


def locked_checksums(lock):
    """The SHA-256 of each crate's archive; the crates of this workspace have none."""
    fields = [dict(re.findall(r'^(name|version|checksum) = "(.+)"$', block, re.MULTILINE)) for block in lock.split("[[package]]")]
    return {(package["name"], package["version"]): package["checksum"] for package in fields if "checksum" in package}


def closure(start, edges):
    found, open_ = set(), [start]
    while open_:
        crate = open_.pop()
        if crate not in found:
            found.add(crate)
            open_.extend(edges[crate])
    return found


def purl(crate):
    return "pkg:cargo/{}@{}".format(crate[0], crate[1].replace("+", "%2B"))


def component(crate, package, checksums):
    """A crate as CycloneDX describes it; its hash is that of the archive on crates.io, which cargo checks."""
    described = {"type": "library", "bom-ref": purl(crate), "name": crate[0], "version": crate[1], "purl": purl(crate)}
    if licence := package.get("license"):
        described["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    if checksum := checksums.get(crate):
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if repository := package.get("repository"):
        described["externalReferences"] = [{"type": "vcs", "url": repository}]
    return described


def bill(name, binary, edges, packages, checksums, rustc):
    """The bill of materials of one function; no time and no random number is in it."""
    root = next(crate for crate in edges if crate[0] == f"stepwell-{name}")
    linked = closure(root, edges)
    main = component(root, packages[root], checksums)
    main |= {"type": "application", "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(binary.read_bytes()).hexdigest()}]}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "rustc", "version": rustc}]},
            "component": main,
        },
        "components": [component(crate, packages[crate], checksums) for crate in sorted(linked - {root})],
        "dependencies": [{"ref": purl(crate), "dependsOn": sorted(map(purl, edges[crate]))} for crate in sorted(linked)],
    }
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}"
    return document


def licences(crates, packages):
    """The licence texts of all crates, each text once, with the crates that it is of."""
    texts = {}
    for crate in sorted(crates):
        folder = Path(packages[crate]["manifest_path"]).parent
        for file in sorted(folder.iterdir()):
            if packages[crate]["source"] and file.is_file() and LICENCE_FILE.search(file.name):
                text = file.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip()
                texts.setdefault(text, []).append(f"{crate[0]} {crate[1]}")
    parts = [", ".join(dict.fromkeys(names)) + "\n" + "-" * 80 + "\n" + text + "\n" for text, names in texts.items()]
    return ("\n" + "=" * 80 + "\n").join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--target", help="the target triple; this machine's by default")
    parser.add_argument("--binaries", type=Path, help="take the binaries from this folder instead of building them")
    parser.add_argument("--cargo", default="cargo build", help="what builds, such as `cargo zigbuild` for another target")
    given = parser.parse_args()

    target = given.target or host()
    binaries = given.binaries or build(given.cargo.split(), target)
    metadata = json.loads(output_of("cargo", "metadata", "--format-version", "1", "--locked"))
    packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
    checksums = locked_checksums((ROOT / "Cargo.lock").read_text(encoding="utf-8"))
    linked = edges(target)
    rustc = re.search(r"^release: (.+)$", output_of("rustc", "-vV"), re.MULTILINE)[1]

    given.output.mkdir(parents=True, exist_ok=True)
    for name in FUNCTIONS:
        archive(binaries / name, given.output / f"{name}.zip")
        document = bill(name, binaries / name, linked, packages, checksums, rustc)
        text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (given.output / f"{name}.cdx.json").write_text(text, encoding="utf-8")
    (given.output / "third-party-licences.txt").write_text(licences(linked, packages), encoding="utf-8")
    files = sorted(file for file in given.output.iterdir() if file.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (given.output / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


if __name__ == "__main__":
    main()
