"""The manifests against the published schemas, and against the exit codes that stages really have."""

import kubernetes_validate
import pytest
from conftest import REPOSITORY
from ruamel.yaml import YAML

from stages.lib import runner

BASE = REPOSITORY / "k8s/base"
MANIFESTS = sorted(path.name for path in BASE.glob("*.yaml") if path.name != "kustomization.yaml")


def read(name: str) -> dict:
    return YAML(typ="safe").load(BASE / name)


@pytest.mark.parametrize("name", MANIFESTS)
def test_it_has_the_published_schema(name: str) -> None:
    kubernetes_validate.validate(read(name), "1.34", strict=True)


def test_a_misspelt_key_would_be_seen() -> None:
    manifest = read("stage.yaml")
    manifest["spec"]["template"]["spec"]["restartPolice"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.34", strict=True)


def test_kustomize_takes_every_manifest() -> None:
    assert sorted(read("kustomization.yaml")["resources"]) == MANIFESTS


def test_exit_codes_are_the_runners() -> None:
    rules = read("stage.yaml")["spec"]["podFailurePolicy"]["rules"]
    actions = {code: rule["action"] for rule in rules for code in rule.get("onExitCodes", {}).get("values", [])}
    assert actions == {runner.BAD_INPUT: "FailJob", runner.PREEMPTED: "Ignore"}
