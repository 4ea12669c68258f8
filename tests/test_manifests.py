"""Every manifest against the published schemas, the restricted pod security level and the stages' exit codes."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
from conftest import REPOSITORY
from ruamel.yaml import YAML

from k8s import jobs, kustomize
from stages.lib import runner
from stages.lib.errors import BadInput

FOLDERS = [REPOSITORY / "k8s/base", *sorted((REPOSITORY / "k8s/overlays").iterdir())]
VERSIONS = ["1.35", "1.36", "1.37"]


def plan(stage: str) -> jobs.Plan:
    return jobs.Plan(stage, {"data": "0" * 32}, "HEAD", "", {"url": "s3://bucket/path"})


def rendered(stage: str) -> list[dict]:
    objects, made = jobs.render(plan(stage), jobs.load_settings())
    return [*objects, *made]


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@pytest.fixture(scope="module")
def everything() -> list[dict]:
    """What `make k8s-render` prints, and every overlay."""
    command = [sys.executable, "-m", "k8s.submit", "render"]
    text = subprocess.check_output(command, cwd=REPOSITORY, text=True, timeout=120)
    printed = [document for document in YAML(typ="safe").load_all(text) if document]
    return [*printed, *(manifest for folder in FOLDERS for manifest in kustomize.build(folder))]


def test_the_newest_three_schemas_are_used() -> None:
    names = (Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema").iterdir()
    held = {tuple(map(int, name.name.split("-")[0].removeprefix("v").split(".")[:2])) for name in names}
    assert [f"{major}.{minor}" for major, minor in sorted(held)[-3:]] == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_everything_has_the_published_schema(version: str, everything: list[dict]) -> None:
    assert {"Job", "Deployment", "Service", "NetworkPolicy", "PriorityClass"} <= {one["kind"] for one in everything}
    for manifest in everything:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_key_would_be_seen() -> None:
    job = rendered("train")[-1]
    job["spec"]["template"]["spec"]["restartPolice"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, VERSIONS[0], strict=True)


def pods(manifests: list[dict]) -> Iterator[dict]:
    yield from (one["spec"]["template"] for one in manifests if one["kind"] in ("Job", "Deployment"))


def test_every_pod_keeps_to_the_restricted_level(everything: list[dict]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards, and no token, no writable root besides."""
    found = list(pods(everything))
    assert len(found) > 15
    for pod in found:
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] != 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "ephemeral", "secret", "projected"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not any("hostPort" in port for port in container.get("ports", []))
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])


def test_secrets_are_references(everything: list[dict]) -> None:
    assert not [one for one in everything if one["kind"] == "Secret"]
    texts = [json.dumps(one) for one in everything]
    assert any('"secretRef": {"name": "tidemill"}' in text for text in texts)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_kustomize_itself_builds_the_same(folder: Path) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl, which would compare, is not here")
    text = subprocess.check_output(["kubectl", "kustomize", folder], text=True, timeout=60)
    by_name = [
        {(one["kind"], one["metadata"]["name"]): one for one in manifests}
        for manifests in (YAML(typ="safe").load_all(text), kustomize.build(folder))
    ]
    assert by_name[0] == by_name[1]


def test_exit_codes_are_the_runners() -> None:
    rules = rendered("train")[-1]["spec"]["podFailurePolicy"]["rules"]
    actions = {code: rule["action"] for rule in rules for code in rule.get("onExitCodes", {}).get("values", [])}
    assert actions == {runner.BAD_INPUT: "FailJob", runner.PREEMPTED: "Ignore"}


def test_score_runs_without_a_network_and_without_a_secret() -> None:
    fetch, run, deliver = [one for one in rendered("score@base") if one["kind"] == "Job"]
    networks = [job["spec"]["template"]["metadata"]["labels"]["tidemill/network"] for job in (fetch, run, deliver)]
    assert networks == ["remote", "none", "remote"]
    assert "secretRef" not in json.dumps(run) and "secretRef" in json.dumps(fetch)
    policy = next(
        one for one in kustomize.build(jobs.FOLDER / "base") if one["metadata"]["name"] == "tidemill-isolated"
    )
    assert policy["spec"]["podSelector"]["matchLabels"]["tidemill/network"] == "none"
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"] and not {"egress", "ingress"} & set(policy["spec"])


def test_settings_reach_the_job() -> None:
    settings = jobs.load_settings().model_copy(
        update={
            "queue": "research",
            "priority_class": "tidemill-batch",
            "node_selector": {"disk": "fast"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "storage_class": "ssd",
            "resources": {
                "default": jobs.Resources(cpu="1", memory="1Gi"),
                "train": jobs.Resources(cpu="16", memory="64Gi", gpus=2),
            },
        }
    )
    objects, (job,) = jobs.render(plan("train"), settings)
    spec = job["spec"]["template"]["spec"]
    assert job["spec"]["suspend"] is True and job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    assert spec["priorityClassName"] == "tidemill-batch" and spec["nodeSelector"]["disk"] == "fast"
    assert {"key": "dedicated", "operator": "Exists"} in spec["tolerations"] and len(spec["tolerations"]) == 2
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert spec["containers"][0]["image"] == "tidemill-gpu"
    assert objects[-1]["spec"]["storageClassName"] == "ssd"
    for version in VERSIONS:
        kubernetes_validate.validate(job, version, strict=True)


def test_a_name_is_made_of_stage_and_inputs() -> None:
    names = {
        jobs.Plan(stage, inputs, commit, "lock", {}).name
        for stage, inputs, commit in [("train", {"a": 1}, "x"), ("train", {"a": 1}, "y"), ("train", {"a": 2}, "x")]
    }
    assert len(names) == 2, "the inputs count; the commit that holds them does not"
    assert all(len(name) + len("-deliver") <= 63 for name in names)


def test_an_unknown_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY / "k8s/params.yaml").read_text().replace("  queue:", "  queu:")
    monkeypatch.setattr(jobs, "FILE", tmp_path / "params.yaml")
    jobs.FILE.write_text(text)
    with pytest.raises(BadInput, match=r"cluster.queu: unknown key; did you mean 'queue'"):
        jobs.load_settings()


def test_a_gpu_that_params_ask_for_and_no_pod_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = jobs.load_settings()
    monkeypatch.setattr(jobs.params, "FILE", tmp_path / "params.yaml")
    read = jobs.params.read
    asked = {**read(REPOSITORY / "params.yaml"), "train": {"device": "cuda"}}
    monkeypatch.setattr(jobs.params, "read", lambda file=None: asked if file is None else read(file))
    with pytest.raises(BadInput, match=r"train.device is cuda; k8s/params.yaml: give resources.train a line `gpus: 1`"):
        jobs.image("train", settings)
