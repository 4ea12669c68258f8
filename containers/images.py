"""Builds, pushes and locks the images: `make images`, `make images-push REGISTRY=…`, `make images-lock`.

Builds are reproducible: packages are hash-locked, every file gets the time of the last commit that changed a recipe,
and whatever differs between builds (logs, bytecode) is left out of the layers.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from executors import container
from stages.lib.errors import BadInput

DEFAULT = ("cpu", "score")
ALL = ("cpu", "gpu", "score", "teacher")
SBOMS = Path(".tidemill/images")
INPUTS = ("containers/*.Containerfile", "containers/install.sh", "locks", ".dockerignore")


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="containers.images", description=__doc__)
    parser.add_argument("command", choices=["build", "push", "lock"])
    parser.add_argument("kinds", nargs="*", metavar="IMAGE", help=f"of {', '.join(ALL)}")
    parser.add_argument("--registry", help="push to HOST/PATH")
    parser.add_argument("--base", help="the Debian base image, by digest")
    options = parser.parse_args(arguments)
    try:
        kinds = _known(options.kinds)
        if options.command == "build":
            for kind in kinds:
                build(kind, options.base)
        elif options.command == "push":
            push(kinds, options.registry)
        else:
            lock({kind: _built(kind) for kind in kinds}, {})
    except BadInput as error:
        print(f"images: {error}", file=sys.stderr)
        return 3
    except subprocess.CalledProcessError as error:
        print(f"images: {shlex.join(error.cmd[:3])} … ended with status {error.returncode}", file=sys.stderr)
        return 1
    return 0


def build(kind: str, base: str | None) -> str:
    """Build the image of `kind`, write its SBOM, and return its id."""
    builder, engine = _engines()
    revision, time = _revision()
    arguments = {"REVISION": revision, "SOURCE": _source()} | ({"BASE": base} if base else {})
    name = f"tidemill-{kind}"
    words = ["--file", f"containers/{kind}.Containerfile", "--tag", name]
    words += [word for pair in arguments.items() for word in ("--build-arg", "=".join(pair))]
    words += [*shlex.split(os.environ.get("BUILD_OPTIONS", "")), "."]
    SBOMS.mkdir(parents=True, exist_ok=True)
    if Path(builder).name == "docker":
        _build_with_docker(builder, words, time)
    else:
        subprocess.run([builder, "build", "--format", "oci", "--timestamp", str(time), *words], check=True)
    if builder != engine:
        subprocess.run([builder, "push", "--quiet", name, f"docker-daemon:{name}:latest"], check=True)
    image = _built(kind)
    (SBOMS / f"{kind}.spdx.json").write_text(sbom(kind, image))
    print(f"tidemill-{kind} {image}\n  packages in {SBOMS / kind}.spdx.json")
    return image


def push(kinds: list[str], registry: str | None) -> None:
    """Push the images and lock both their ids and the digests that the registry gave them."""
    if not registry:
        raise BadInput("name a registry: make images-push REGISTRY=host/path")
    engine = container.find_engine()
    built = {kind: _built(kind) for kind in kinds}
    references = {}
    for kind in kinds:
        target = f"{registry.rstrip('/')}/tidemill-{kind}"
        subprocess.run([engine, "tag", f"tidemill-{kind}", target], check=True)
        references[kind] = f"{target}@{_push(engine, target)}"
        print(f"pushed {references[kind]}")
    lock(built, references)


def lock(images: dict[str, str], references: dict[str, str]) -> None:
    """Write ids and references to containers/images.lock.yaml, keeping its comments."""
    yaml = YAML()
    yaml.width = 200
    values = yaml.load(container.LOCK)
    for kind, image in images.items():
        changed = values[kind] != image
        values[kind] = image
        if changed:
            values["references"].pop(kind, None)
            print(f"{container.LOCK}: {kind} is now {image}; its stages will run again")
    values["references"].update(references)
    yaml.dump(values, container.LOCK)


def sbom(kind: str, image: str) -> str:
    """The image's Debian and Python packages as SPDX 2.3 JSON (https://spdx.github.io/spdx-spec/v2.3)."""
    words = [container.find_engine(), "run", "--rm", "--network=none", "--read-only", "--entrypoint", "/bin/sh"]
    listing = subprocess.check_output([*words, image, "-c", _LIST], text=True)
    packages = sorted({tuple(line.split("\t")) for line in listing.splitlines() if line.count("\t") == 2})
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"tidemill-{kind}",
        "documentNamespace": f"https://spdx.org/spdxdocs/tidemill-{kind}-{image.removeprefix('sha256:')}",
        "creationInfo": {"created": _iso(_revision()[1]), "creators": ["Tool: tidemill-images"]},
        "packages": [_package(number, *entry) for number, entry in enumerate(packages)],
    }
    return json.dumps(document, indent=1) + "\n"


# Lists packages with tools that every image has; an image without a Python environment lists only Debian's.
_LIST = r"""
dpkg-query --show --showformat 'deb\t${Package}\t${Version}\n'
[ ! -x /opt/tidemill/bin/python ] || /opt/tidemill/bin/python - <<'PROGRAM'
from importlib.metadata import distributions
for found in distributions():
    print("pypi", found.metadata["Name"].lower(), found.version, sep="\t")
PROGRAM
"""


def _package(number: int, kind: str, name: str, version: str) -> dict[str, Any]:
    namespace = "deb/debian" if kind == "deb" else kind
    locator = f"pkg:{namespace}/{name}@{version.replace(':', '%3A').replace('+', '%2B')}"
    reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}
    return {
        "SPDXID": f"SPDXRef-Package-{number}",
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "externalRefs": [reference],
    }


def _known(kinds: list[str]) -> list[str]:
    if unknown := sorted(set(kinds) - set(ALL)):
        raise BadInput(f"no image {unknown[0]!r}; choose from {', '.join(ALL)}")
    return kinds or list(DEFAULT)


def _engines() -> tuple[str, str]:
    """The builder and the engine that will run the images: the same, except that an installed buildah builds for docker
    unless ENGINE names docker, because buildah can set file times whatever store docker uses."""
    engine = container.find_engine()
    if Path(engine).name == "buildah":
        raise BadInput("ENGINE=buildah can build images but not run them; set ENGINE to podman or docker, or unset it")
    buildah = shutil.which("buildah")
    if Path(engine).name == "docker" and not os.environ.get("ENGINE") and buildah:
        return buildah, engine
    return engine, engine


def _build_with_docker(engine: str, words: list[str], time: int) -> None:
    """docker's build command. Only BuildKit sets file times, and only when exporting to a file, which docker's older
    store cannot load. There, or without buildx, every build gets a new id."""
    words_of = {"store": ["info", "--format", "{{.DriverStatus}}"], "buildx": ["buildx", "version"]}
    said = {
        what: subprocess.run([engine, *ask], capture_output=True, text=True, check=False)
        for what, ask in words_of.items()
    }
    if "io.containerd.snapshotter" not in said["store"].stdout or said["buildx"].returncode:
        print(
            "images: this docker cannot set file times, so another build of this commit will get another id; podman, "
            "buildah, or buildx with docker's containerd image store can",
            file=sys.stderr,
        )
        subprocess.run([engine, "build", *words], check=True)
        return
    with tempfile.TemporaryDirectory(dir=SBOMS) as folder:
        file = f"{folder}/image.tar"
        # Provenance would record the build time.
        options = ["--build-arg", f"SOURCE_DATE_EPOCH={time}", "--provenance=false"]
        output = f"type=docker,dest={file},rewrite-timestamp=true"
        subprocess.run([engine, "buildx", "build", *options, "--output", output, *words], check=True)
        subprocess.run([engine, "load", "--quiet", "--input", file], check=True)


def _built(kind: str) -> str:
    image = container.inspect_id(container.find_engine(), f"tidemill-{kind}")
    if image is None:
        raise BadInput(f"this machine has no image tidemill-{kind}; `make images IMAGES={kind}` builds it")
    return image


def _push(engine: str, target: str) -> str:
    with tempfile.NamedTemporaryFile("r") as digest:
        options = shlex.split(os.environ.get("PUSH_OPTIONS", ""))
        if Path(engine).name == "podman":
            subprocess.run([engine, "push", *options, "--digestfile", digest.name, target], check=True)
            return digest.read().strip()
    subprocess.run([engine, "push", *options, target], check=True)
    words = [engine, "image", "inspect", "--format", "{{json .RepoDigests}}", target]
    digests = dict(one.split("@") for one in json.loads(subprocess.check_output(words)))  # of every registry
    return str(digests[target.removeprefix("docker.io/")])


def _revision() -> tuple[str, int]:
    """The last commit that changed an image's recipe, and its time (seconds since 1970)."""
    words = ["git", "log", "-1", "--format=%H %ct", "--", *INPUTS]
    revision, _, time = subprocess.check_output(words, text=True).strip().partition(" ")
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *INPUTS], check=False).returncode
    return (f"{revision}-changed" if changed else revision), int(time or 0)


def _source() -> str:
    words = ["git", "config", "--get", "remote.origin.url"]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    return found if "://" in found and "@" not in found else "unknown"  # no credentials, no path of this machine


def _iso(time: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
