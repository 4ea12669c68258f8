"""The part of kustomize that this project uses, so that manifests render without kubectl: resources, strategic-merge
patches of one kind, a namespace, generated ConfigMaps. test_manifests.py compares it with `kubectl kustomize`.
"""

import copy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Manifest = dict[str, Any]
# Merge keys of lists (https://kubernetes.io/docs/reference/kubernetes-api). Like kustomize, we replace other lists
# whole.
MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
}
CLUSTER_WIDE = {"Namespace", "PriorityClass"}


def build(folder: Path) -> list[Manifest]:
    """The manifests of a kustomization, in listed order."""
    content = read(folder / "kustomization.yaml")[0]
    manifests: list[Manifest] = []
    for name in content.get("resources", []):
        path = folder / name
        manifests += build(path) if path.is_dir() else read(path)
    manifests += [_config_map(folder, generated) for generated in content.get("configMapGenerator", [])]
    for patch in content.get("patches", []):
        (change,) = read(folder / patch["path"])
        for number, manifest in enumerate(manifests):
            if manifest["kind"] == patch["target"]["kind"]:
                merged = merge(manifest, {key: value for key, value in change.items() if key != "metadata"})
                labels = {"labels": change["metadata"]["labels"]} if "labels" in change["metadata"] else {}
                manifests[number] = merge(merged, {"metadata": labels})
    if namespace := content.get("namespace"):
        for manifest in manifests:
            if manifest["kind"] not in CLUSTER_WIDE:
                manifest["metadata"]["namespace"] = namespace
    return manifests


def read(path: Path) -> list[Manifest]:
    """The documents of a YAML file."""
    return [document for document in YAML(typ="safe", pure=True).load_all(path) if document]


def merge(base: Any, patch: Any, key: str = "") -> Any:
    """`patch` merged into `base`: mappings by key (null removes one), keyed lists by merge key, anything else
    replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        merged = {name: value for name, value in base.items() if patch.get(name, value) is not None}
        for name, value in patch.items():
            if value is not None:
                merged[name] = merge(base[name], value, name) if name in base else copy.deepcopy(value)
        return merged
    if isinstance(base, list) and isinstance(patch, list) and key in MERGE_KEYS:
        return _merge_items(base, patch, MERGE_KEYS[key])
    return copy.deepcopy(patch)


def _merge_items(base: list[Any], patch: list[Any], name: str) -> list[Any]:
    items = {item[name]: item for item in base}
    patched = [merge(items.pop(item[name]), item) if item[name] in items else copy.deepcopy(item) for item in patch]
    return [*patched, *items.values()]


def _config_map(folder: Path, generated: dict[str, Any]) -> Manifest:
    data = {Path(name).name: (folder / name).read_text(encoding="utf-8") for name in generated["files"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generated["name"]}, "data": data}
