"""Every manifest against the published schemas, the restricted pod security level and the stages' exit codes."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from workspace import REPOSITORY

from executors import runner
from executors.kubernetes import jobs, kustomize
from executors.tracking import graph
from stages.lib.errors import BAD_INPUT, BadInput

FOLDERS = [REPOSITORY / "k8s/setup", REPOSITORY / "k8s/base", *sorted((REPOSITORY / "k8s/overlays").iterdir())]
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
    command = [sys.executable, "-m", "executors.kubernetes", "render"]
    text = subprocess.check_output(command, cwd=REPOSITORY, text=True, timeout=120)
    printed = [document for document in YAML(typ="safe").load_all(text) if document]
    role = kustomize.read(REPOSITORY / "k8s/submitter.yaml")
    return [*printed, *role, *(manifest for folder in FOLDERS for manifest in kustomize.build(folder))]


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
    text = subprocess.check_output(["kubectl", "kustomize", folder], text=True, timeout=240)
    by_name = [
        {(one["kind"], one["metadata"]["name"]): one for one in manifests}
        for manifests in (YAML(typ="safe").load_all(text), kustomize.build(folder))
    ]
    assert by_name[0] == by_name[1]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_is_one_namespaces(folder: Path) -> None:
    """`kubectl apply -k` puts what names none into whichever namespace its user is in."""
    for manifest in kustomize.build(folder):
        if manifest["kind"] not in kustomize.CLUSTER_WIDE:
            assert manifest["metadata"]["namespace"] == "tidemill", manifest["metadata"]["name"]


def test_an_endpoint_of_ones_own_starts_no_stage() -> None:
    made = kustomize.build(REPOSITORY / "k8s/overlays/teacher")
    assert "Deployment" in {one["kind"] for one in made} and not {"Job", "PersistentVolumeClaim"} & {
        one["kind"] for one in made
    }


LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
UNITS = {"": 1, "m": 0.001, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def amount(quantity: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)(m|Ki|Mi|Gi)?", quantity).groups()
    return float(number) * UNITS[unit or ""]


def check_job(job: dict) -> None:
    """What the API server asks of a Job beyond its schema: pkg/apis/batch/validation/validation.go (ValidateJob,
    validatePodFailurePolicy) and pkg/apis/core/validation/validation.go of Kubernetes."""
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    # The name is a label of the pods, and with the index a host name.
    longest = job["metadata"]["name"] + (f"-{spec['completions'] - 1}" if "completions" in spec else "")
    assert LABEL.fullmatch(longest) and len(longest) <= 63, longest
    for labels in job["metadata"]["labels"], spec["template"]["metadata"]["labels"]:
        assert all(VALUE.fullmatch(value) and len(value) <= 63 for value in labels.values()), labels
    indexed = spec.get("completionMode") == "Indexed"
    assert indexed == ("completions" in spec) and ("backoffLimitPerIndex" not in spec or indexed)
    assert pod["restartPolicy"] == "Never" and spec["podReplacementPolicy"] == "Failed", "with a podFailurePolicy"
    names = {container["name"] for container in pod["containers"]}
    for rule in spec["podFailurePolicy"]["rules"]:
        assert ("onExitCodes" in rule) != ("onPodConditions" in rule) and rule["action"] in ("FailJob", "Ignore")
        if codes := rule.get("onExitCodes"):
            assert codes["containerName"] in names and codes["operator"] == "In"
            assert codes["values"] == sorted(set(codes["values"])) and 0 not in codes["values"]
    sources = {volume["name"]: set(volume) - {"name"} for volume in pod["volumes"]}
    assert len(sources) == len(pod["volumes"]) and all(len(kinds) == 1 for kinds in sources.values()), sources
    (container,) = pod["containers"]
    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert len(set(paths)) == len(paths) and {mount["name"] for mount in container["volumeMounts"]} == set(sources)
    told = [entry["name"] for entry in container["env"]]
    assert len(set(told)) == len(told), "which of two of one name a container gets is said nowhere"
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    assert all(amount(requests[name]) <= amount(limits[name]) for name in requests.keys() & limits.keys())
    assert requests.get("nvidia.com/gpu", limits.get("nvidia.com/gpu")) == limits.get("nvidia.com/gpu")
    (shm,) = [volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if volume["name"] == "shm"]
    assert amount(shm) <= amount(limits["memory"]), "what lies in memory counts as the container's"


VARIANTS = {
    "plain": {},
    "several": {"shards": 120, "nodes": 16, "gpus": 8},
    "bare": {"secret": ""},
    "full": {
        "queue": "research",
        "priority_class": "batch",
        "runtime_class": "nvidia",
        "pull_secret": "registry",
        "node_selector": {"disk": "fast"},
        "tolerations": [{"operator": "Exists"}],
        "storage_class": "ssd",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_the_api_server_asks_beyond_the_schema(variant: str) -> None:
    settings, table = jobs.load_settings(), jobs.params.read(jobs.container.STAGES)
    for stage in [*graph.load(), "sample@A.user's_name, which is LONG"]:
        change = dict(VARIANTS[variant])
        name = stage.partition("@")[0]
        many = {key: change.pop(key) for key in ("shards", "nodes", "gpus") if key in change}
        able = {key: count for key, count in many.items() if key == "gpus" or table[name].get(key)}
        if {"shards", "nodes"} <= able.keys():  # not both at once
            del able["shards"]
        resources = {"default": jobs.Resources(cpu="500m", memory="16Gi", **able)}
        objects, made = jobs.render(plan(stage), settings.model_copy(update={"resources": resources, **change}))
        for job in made:
            check_job(job)
        for manifest in [*objects, *made]:
            kubernetes_validate.validate(manifest, VERSIONS[1], strict=True)
        for kept in objects:
            assert LABEL.fullmatch(kept["metadata"]["name"]) and len(kept["metadata"]["name"]) <= 63
            sizes = [len(text.encode()) for text in kept.get("data", {}).values()]
            assert sum(sizes) <= 2**20 and all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in kept.get("data", {}))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_overlay_is_what_the_api_server_takes(folder: Path) -> None:
    for manifest in kustomize.build(folder):
        if manifest["kind"] == "Job":
            check_job(manifest)


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
            "runtime_class": "nvidia",
            "pull_secret": "registry",
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
    assert spec["runtimeClassName"] == "nvidia" and spec["imagePullSecrets"] == [{"name": "registry"}]
    assert set(spec["nodeSelector"]) == {"disk"}, "the label of NVIDIA's operator is not on every GPU node"
    assert "runtimeClassName" not in jobs.render(plan("filter"), settings)[1][0]["spec"]["template"]["spec"]
    assert objects[-1]["spec"]["storageClassName"] == "ssd"
    for version in VERSIONS:
        kubernetes_validate.validate(job, version, strict=True)


@pytest.mark.parametrize(
    ("registry", "reference", "image", "policy"),
    [
        ("", "", "tidemill-cpu", "Never"),  # the nodes' own, or nobody's: not one of that name on a public registry
        ("localhost", "", "localhost/tidemill-cpu", "Never"),  # as podman names what it builds
        ("ghcr.example/lab/", "", "ghcr.example/lab/tidemill-cpu", "Always"),
        ("ghcr.example/lab", "host/cpu@sha256:1", "host/cpu@sha256:1", "IfNotPresent"),
    ],
)
def test_where_an_image_comes_from(
    monkeypatch: pytest.MonkeyPatch, registry: str, reference: str, image: str, policy: str
) -> None:
    lock = {"cpu": jobs.container.UNLOCKED, "references": {"cpu": reference} if reference else {}}
    monkeypatch.setattr(jobs.container, "read_lock", lambda: lock)
    settings = jobs.load_settings().model_copy(update={"registry": registry})
    (job,) = jobs.render(plan("filter"), settings)[1]
    assert (stage_of(job)["image"], stage_of(job)["imagePullPolicy"]) == (image, policy)


def test_what_is_written_lies_where_a_read_only_root_allows_it(everything: list[dict]) -> None:
    """Home, Hugging Face's models and the workspace are below mounts that may be written."""
    for pod in (one["spec"]["template"]["spec"] for one in everything if one["kind"] == "Job"):
        (container,) = pod["containers"]
        writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        told = {one["name"]: one.get("value", "") for one in container["env"]}
        for name in "HOME", "HF_HOME", "TIDEMILL_CACHE", "WORKSPACE":
            assert any(told[name] == path or told[name].startswith(f"{path}/") for path in writable), name
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
        assert "/dev/shm" in writable and "/tmp" in writable


def several(stage: str, **given: int) -> tuple[list[dict], list[dict]]:
    """What is rendered of `stage` where its resources hold `given`, checked against every schema."""
    wanted = {name: jobs.Resources(cpu="1", memory="1Gi", **given) for name in (stage.partition("@")[0],)}
    resources = {"default": jobs.Resources(cpu="1", memory="1Gi"), **wanted}
    changed = {"resources": resources, "shared_storage_class": "nfs", "storage_class": "ssd"}
    objects, made = jobs.render(plan(stage), jobs.load_settings().model_copy(update=changed))
    for manifest in [*objects, *made]:
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)
    assert len([*pods(made)]) == len(made)
    return objects, made


def stage_of(job: dict) -> dict:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("stage", ["embed", "sample@base"])
def test_a_stage_in_shards_is_an_indexed_job_and_one_that_seals(stage: str) -> None:
    objects, (shards, whole) = several(stage, shards=5)
    spec = shards["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 5, 5)
    assert (spec["backoffLimitPerIndex"], spec["backoffLimit"]) == (3, 15)
    assert (
        stage_of(shards)["args"] == ["fetch", "shard"] and {"name": "SHARDS", "value": "5"} in stage_of(shards)["env"]
    )
    (workspace,) = [one for one in spec["template"]["spec"]["volumes"] if one["name"] == "workspace"]
    assert workspace["ephemeral"]["volumeClaimTemplate"]["spec"]["storageClassName"] == "ssd"
    assert "persistentVolumeClaim" not in workspace, "a volume has one source"
    assert stage_of(whole)["args"] == ["fetch", "run", "deliver"] and "completions" not in whole["spec"]
    assert objects[2]["spec"]["accessModes"] == ["ReadWriteOnce"]
    (alone,) = jobs.render(plan(stage), jobs.load_settings())[1]
    assert whole["metadata"]["name"] == alone["metadata"]["name"], "the number of shards is in no name and no hash"


def test_score_in_shards_shares_a_workspace_because_its_pods_reach_no_remote() -> None:
    objects, made = several("score@base", shards=4)
    assert [stage_of(job)["args"] for job in made] == [["fetch"], ["shard"], ["run"], ["fetch", "take", "deliver"]]
    networks = [job["spec"]["template"]["metadata"]["labels"]["tidemill/network"] for job in made]
    assert networks == ["remote", "none", "none", "remote"]
    assert ["secretRef" in json.dumps(job) for job in made] == [True, False, False, True]
    claims = [
        volume.get("persistentVolumeClaim") for job in made for volume in job["spec"]["template"]["spec"]["volumes"]
    ]
    assert [claim["claimName"] for claim in claims if claim] == [plan("score@base").name] * 4
    assert objects[2]["spec"]["accessModes"] == ["ReadWriteMany"] and objects[2]["spec"]["storageClassName"] == "nfs"


@pytest.mark.parametrize("stage", ["train", "coreset"])
def test_a_stage_on_nodes_meets_by_a_headless_service(stage: str) -> None:
    objects, (fetch, run, deliver) = several(stage, nodes=3, gpus=8)
    assert [stage_of(job)["args"] for job in (fetch, run)] == [["fetch"], ["run"]]
    assert stage_of(deliver)["args"] == ["fetch", "take", "deliver"]
    name, service = plan(stage).name, objects[-1]
    assert service["kind"] == "Service" and service["metadata"]["name"] == name
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"] is True
    labels = run["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items() and service["spec"]["selector"]["tidemill/key"]
    env = {one["name"]: one for one in stage_of(run)["env"]}
    assert env["PET_NNODES"]["value"] == "3"
    # A pod of an Indexed Job has the host name JOB-INDEX, and with a subdomain the name JOB-INDEX.SUBDOMAIN.
    assert (
        env["PET_MASTER_ADDR"]["value"] == f"{run['metadata']['name']}-0.{run['spec']['template']['spec']['subdomain']}"
    )
    assert run["spec"]["template"]["spec"]["subdomain"] == name and len(f"{run['metadata']['name']}-999") <= 63
    assert env["PET_MASTER_PORT"]["value"] == str(service["spec"]["ports"][0]["port"])
    assert "job-completion-index" in env["PET_NODE_RANK"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert (run["spec"]["completionMode"], run["spec"]["completions"], run["spec"]["backoffLimit"]) == ("Indexed", 3, 9)
    assert "backoffLimitPerIndex" not in run["spec"], "a run starts again as a whole"
    assert objects[2]["spec"]["accessModes"] == ["ReadWriteMany"]
    (policy,) = [one for one in jobs.static(jobs.load_settings()) if one["metadata"]["name"] == "tidemill-nodes"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize(
    ("stage", "given", "message"),
    [
        (
            "assemble",
            {"shards": 2},
            "assemble cannot use 2 shards; only these can: collect, filter, embed, coreset, sample, score",
        ),
        ("embed", {"nodes": 2}, "embed cannot use 2 nodes; only these can: coreset, train"),
        ("coreset", {"nodes": 2, "shards": 2}, "coreset: shards and nodes do not go together; remove one of them"),
    ],
)
def test_a_stage_that_cannot_be_several(stage: str, given: dict[str, int], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        several(stage, **given)


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


def test_a_gpu_that_params_ask_for_and_no_pod_has(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = jobs.load_settings()
    asked = {**jobs.params.read(REPOSITORY / "params.yaml"), "train": {"device": "cuda"}}
    monkeypatch.setattr(jobs.params, "merged", lambda: asked)
    with pytest.raises(BadInput, match=r"train.device is cuda; k8s/params.yaml: give resources.train a line `gpus: 1`"):
        jobs.image("train", settings)


@pytest.mark.parametrize("executor", ["kubernetes", "slurm"])
def test_a_key_that_is_unknown_in_the_settings_is_named_by_the_command(
    executor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(f"executors.{executor}.__main__").main
    file = importlib.import_module(f"executors.{executor}.jobs").FILE
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text((REPOSITORY / file).read_text().replace("\n  grace:", "\n  grase:"))
    monkeypatch.chdir(tmp_path)
    assert main(["render"]) == BAD_INPUT
    assert "cluster.grase: unknown key; did you mean 'grace'?" in capsys.readouterr().err
