"""EXECUTOR=container: the same stage in its image, its signals, exit status and files; images and their lock."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from workspace import REPOSITORY

from commands.ablate.matrix import round_trip
from executors import container

# ENGINE=docker runs all of this with docker.
ENGINE = next(
    filter(None, map(shutil.which, [os.environ["ENGINE"]] if "ENGINE" in os.environ else ["podman", "docker"])), None
)
SLOW = '''"""wait: reads nothing and writes nothing; says what it sees of its container, then waits to be stopped."""

import os
import socket
import sys
import time
import time
from pathlib import Path

from stages.lib import checkpoint
from stages.lib.errors import BadInput


def main(key: str = "") -> None:
    if key == "bad":
        raise BadInput("wait: this is bad input")
    if key == "crash":
        sys.exit(9)
    kinds = sorted(name for _, name in socket.if_nameindex())
    secret = os.environ.get("SECRET_OF_THE_HOST")
    print("sees", os.getuid(), "".join(kinds), secret, flush=True)
    try:
        Path("/usr/written").write_text("")
        print("writable root", flush=True)
    except OSError as error:
        print("root:", error.strerror, flush=True)
    Path("made.txt").write_text("made")
    while key != "once":
        checkpoint.raise_if_stop_requested()
        time.sleep(0.05)
'''


def has_image(kind: str) -> bool:
    return bool(ENGINE) and container.inspect_id(str(ENGINE), f"tidemill-{kind}") is not None


def needs(kind: str) -> Callable[[Any], Any]:
    """Marks for a test that runs a container of the image tidemill-`kind`."""
    absent = pytest.mark.skipif(not has_image(kind), reason=f"no image tidemill-{kind} here: `make images` builds it")
    return lambda test: pytest.mark.slow(pytest.mark.container(absent(test)))


needs_cpu, needs_score = needs("cpu"), needs("score")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This working tree's code in a folder of its own, with one stage more, and no artifact."""
    tmp_path.chmod(0o755)  # score's walls are built by nobody
    for name in ("commands", "executors", "stages", "containers"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "stages/wait.py").write_text(SLOW)
    with (tmp_path / "containers/stages.yaml").open("a") as table:
        table.write("wait: {image: cpu, network: false}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(file: str, change: Callable[[dict], None]) -> None:
    yaml = round_trip()
    values = yaml.load(Path(file))
    change(values)
    yaml.dump(values, Path(file))


def run(stage: str, executor: str = "container", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["stages/run", stage],
        env={**os.environ, "EXECUTOR": executor, **environment},
        capture_output=True,
        text=True,
        timeout=400,
    )


def lock_to(image: str) -> None:
    edit("containers/images.lock.yaml", lambda lock: lock.update(cpu=image))


def seal(path: str) -> dict:
    return json.loads((Path(path) / "artifact.json").read_text())


@needs_cpu
def test_stages_have_the_same_hashes_in_their_image(clone: Path) -> None:
    """Up to the embedded teacher, which both are asked: neither has the other's journal."""

    def small(values: dict) -> None:
        shutil.copytree(REPOSITORY / "tests/support/sources", "tree/sources")
        values["collect"]["sources"] = [{"kind": "tree", "name": "ours", "path": "tree", "license": "MIT"}]
        values["filter"]["self_contained"] = False
        values["coreset"]["k"] = 4
        values["teacher"]["model"] = values["train"]["model"]
        values["generate"] |= {"rows_per_round": 2, "styles": False, "max_dead_share": 1.0}
        values["generate"]["examples"] |= {"good": 1, "bad": 0}

    edit("params.yaml", small)
    made = {
        "collect": "data/functions",
        "filter": "data/corpus",
        "embed": "data/embeddings",
        "coreset": "data/coreset",
        "generate@1": "data/candidates/1",
    }
    roots: dict[str, list[str]] = {"container": [], "local": []}
    for executor, found in roots.items():
        shutil.rmtree("journal", ignore_errors=True)
        for stage, path in made.items():
            ran = run(stage, executor)
            assert ran.returncode == 0, ran.stderr
            assert seal(path)["files"][0]["rows"] > 0
            found.append(seal(path)["root"])
            if executor == "container":
                owners = {file.stat().st_uid for file in Path(path).rglob("*")}
                assert owners == {os.getuid()}
    assert roots["container"] == roots["local"]


@needs_score
def test_score_has_the_same_hash_in_its_image_and_no_network(clone: Path) -> None:
    completions = REPOSITORY / "data/completions/base"
    if not completions.is_dir():
        pytest.skip("data/completions/base is not in this workspace: `make` brings it")
    shutil.copytree(completions, "data/completions/base")
    shutil.copy(REPOSITORY / "params.yaml", "params.yaml")
    roots = []
    for executor in ("container", "local"):
        ran = run("score@base", executor)
        assert ran.returncode == 0, ran.stderr
        assert "isolation: bubblewrap" in ran.stderr
        roots.append(seal("data/scores/base")["root"])
    assert roots[0] == roots[1]


@needs_cpu
def test_what_a_stage_sees_of_the_host(clone: Path) -> None:
    ran = run("wait@once", SECRET_OF_THE_HOST="seen")
    assert ran.returncode == 0, ran.stderr
    assert f"sees {os.getuid()} lo None" in ran.stdout
    assert "root: Read-only file system" in ran.stdout or "root: Permission denied" in ran.stdout
    assert Path("made.txt").stat().st_uid == os.getuid()


@needs_cpu
@pytest.mark.parametrize(("key", "status"), [("bad", 3), ("crash", 9)])
def test_exit_statuses_pass_through(clone: Path, key: str, status: int) -> None:
    ran = run(f"wait@{key}")
    assert ran.returncode == status
    if key == "bad":
        assert "wait@bad: wait: this is bad input" in ran.stderr


@needs_cpu
def test_a_shard_is_asked_for_inside_the_container(clone: Path) -> None:
    words = ["stages/run", "wait", "--shard", "0/2"]
    environment = {**os.environ, "EXECUTOR": "container"}
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=400)
    assert ran.returncode == 3
    assert "wait cannot be sharded; collect, filter, embed, coreset, sample and score can" in ran.stderr


@needs_cpu
@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_stops_the_container_and_a_second_run_is_refused_before(
    clone: Path, how: signal.Signals, status: int
) -> None:
    process = subprocess.Popen(
        ["stages/run", "wait"],
        env={**os.environ, "EXECUTOR": "container"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    assert any("root:" in line for line in process.stdout)
    second = run("wait")
    assert second.returncode == 3
    name = f"tidemill-wait-{process.pid}"
    assert f"wait is already running as container {name}" in second.stderr
    process.send_signal(how)
    rest = process.stdout.read()
    assert process.wait(240) == status, rest
    listed = subprocess.check_output([str(ENGINE), "ps", "--all", "--format", "{{.Names}}"], text=True)
    assert name not in listed


@needs_cpu
def test_another_image_than_the_locked_one_is_refused(clone: Path) -> None:
    image = container.inspect_id(str(ENGINE), "tidemill-cpu")
    lock_to(str(image))
    assert run("wait@once").returncode == 0
    other = "sha256:" + "0" * 64
    lock_to(other)
    ran = run("wait@once")
    assert ran.returncode == 3
    assert f"locks cpu to {other}, which is not on this machine" in ran.stderr
    assert "make images-lock" in ran.stderr


@needs_cpu
def test_an_image_started_by_hand_is_refused_where_one_is_locked(clone: Path) -> None:
    lock_to("sha256:" + "1" * 64)
    words = [
        str(ENGINE),
        "run",
        "--rm",
        "--network=none",
        "--volume",
        f"{clone}:/workspace",
        "--user",
        f"{os.getuid()}",
    ]
    ran = subprocess.run([*words, "tidemill-cpu", "wait@once"], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 3, ran.stderr
    assert "TIDEMILL_IMAGE is not set" in ran.stderr


@needs_cpu
def test_the_sbom_names_what_is_in_the_image() -> None:
    from containers import images

    image = str(container.inspect_id(str(ENGINE), "tidemill-cpu"))
    document = json.loads(images.sbom("cpu", image))
    names = {package["name"] for package in document["packages"]}
    assert {"python3", "git", "torch", "dvc"} <= names
    assert document == json.loads(images.sbom("cpu", image))
    assert not {"gcc", "g++", "make"} & names, "no compilers but in score"


@needs_cpu
def test_no_bytecode_and_no_root_in_the_image() -> None:
    words = [
        str(ENGINE),
        "run",
        "--rm",
        "--network=none",
        "--read-only",
        "--entrypoint",
        "/bin/sh",
        "tidemill-cpu",
        "-c",
    ]
    ran = subprocess.check_output([*words, "id -u; find / -xdev -name '*.pyc' 2>/dev/null | head -3"], text=True)
    assert ran.split() == ["10001"]


def test_executors_have_three_names(clone: Path) -> None:
    ran = run("wait@once", "docker")
    assert ran.returncode == 3
    assert "EXECUTOR=docker: unknown executor; choose one of container, kubernetes, local" in ran.stderr


def test_a_stage_that_belongs_on_a_cluster_is_not_computed_here(clone: Path) -> None:
    ran = run("wait@once", "kubernetes")
    assert ran.returncode == 3
    assert "`EXECUTOR=kubernetes make`, which submits stale stages" in ran.stderr
    assert not Path("made.txt").exists()


def test_no_engine(clone: Path) -> None:
    ran = run("wait@once", ENGINE="cri-nonsense")
    assert ran.returncode == 3
    assert "ENGINE=cri-nonsense is not installed" in ran.stderr


@pytest.mark.skipif(not ENGINE, reason="no podman or docker here: `apt-get install podman`")
def test_no_such_image(clone: Path) -> None:
    edit("containers/stages.yaml", lambda table: table["wait"].update(image="gpu"))
    if has_image("gpu"):
        pytest.skip("this machine has the gpu image")
    ran = run("wait@once")
    assert ran.returncode == 3
    assert "this machine has no image tidemill-gpu; `make images IMAGES=gpu` builds it" in ran.stderr


@pytest.mark.skipif(not ENGINE, reason="no podman or docker here: `apt-get install podman`")
@pytest.mark.skipif(container.has_gpu(), reason="this machine has a GPU")
def test_a_gpu_stage_without_a_gpu_says_what_submits_it(clone: Path) -> None:
    edit("params.yaml", lambda values: values["train"].update(device="cuda"))
    ran = run("train")
    assert ran.returncode == 3
    assert "train.device is cuda" in ran.stderr
    assert "`EXECUTOR=kubernetes make` runs the stage on a cluster" in ran.stderr


def test_a_lock_that_is_no_image_id(clone: Path) -> None:
    lock_to("latest")
    ran = run("wait@once", "local", TIDEMILL_IMAGE_KIND="cpu")
    assert ran.returncode == 3
    assert "cpu is 'latest'; use `unlocked` or an image id, sha256:…" in ran.stderr


def test_a_stage_without_an_image(clone: Path) -> None:
    edit("containers/stages.yaml", lambda table: table.pop("wait"))
    ran = run("wait@once", ENGINE="true")
    assert ran.returncode == 3
    assert "containers/stages.yaml does not say which image runs wait" in ran.stderr


def test_every_stage_has_an_image_and_every_image_a_recipe() -> None:
    table = YAML(typ="safe").load(REPOSITORY / "containers/stages.yaml")
    stages = {path.stem for path in (REPOSITORY / "stages").glob("[a-z]*.py")}
    assert stages <= set(table)
    kinds = {kind for entry in table.values() for kind in entry["image"].split(" or ")}
    assert kinds == set(container.KINDS)
    for kind in [*kinds, "teacher"]:
        text = (REPOSITORY / f"containers/{kind}.Containerfile").read_text()
        assert "USER 10001:10001" in text and "--require-hashes" in text and "image.revision" in text


def test_a_stage_has_the_entries_of_its_images_as_parameters() -> None:
    from dvc.repo import Repo

    table = YAML(typ="safe").load(REPOSITORY / "containers/stages.yaml")
    with Repo(str(REPOSITORY)) as repo:
        for stage in repo.index.stages:
            kinds = table[stage.cmd.split()[1].partition("@")[0]]["image"].split(" or ")
            locked = [dep for dep in stage.deps if dep.hash_name == "params" and "images.lock" in dep.fs_path]
            assert [dep.params for dep in locked] == [kinds], stage.name


def test_locking_keeps_comments_and_forgets_the_old_reference(clone: Path) -> None:
    from containers import images

    edit("containers/images.lock.yaml", lambda lock: lock["references"].update(cpu="registry/x@sha256:0"))
    images.lock({"cpu": "sha256:" + "2" * 64}, {})
    text = Path("containers/images.lock.yaml").read_text()
    assert text.startswith("# The images that results are made in") and "# Where clusters pull them from" in text
    assert container.read_lock()["cpu"] == "sha256:" + "2" * 64
    assert container.read_lock()["references"] == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "gppu"], "no image 'gppu'; choose from cpu, gpu, score, teacher"),
        (["push"], "name a registry: make images-push REGISTRY=host/path"),
    ],
)
def test_bad_words(arguments: list[str], message: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "containers.images", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 3
    assert message in ran.stderr


# What an engine is asked, and whether docker here has buildx and containerd's store.
ASKED = """#!/bin/sh
echo "$(basename "$0") $*" >>"$ASKED"
case "$*" in
"info "*) echo "$STORE" ;;
"buildx version") exit $BUILDX ;;
*"--format {{.Id}}"*) echo sha256:1234 ;;
"run "*) printf 'deb\tbash\t5.2\n' ;;
esac
"""


@pytest.mark.parametrize(
    ("engines", "named", "store", "asked"),
    [
        ("podman buildah docker", "", "", "podman build --format oci --timestamp"),
        ("buildah docker", "", "", "buildah push --quiet tidemill-score docker-daemon:tidemill-score:latest"),
        ("buildah docker", "docker", "overlay2", "docker build --file"),
        ("docker", "", "io.containerd.snapshotter.v1", "docker load --quiet --input .tidemill/images/"),
    ],
)
def test_each_engine_is_asked_to_build_in_its_own_words(
    tmp_path: Path, engines: str, named: str, store: str, asked: str
) -> None:
    ran, lines = build_with(tmp_path, engines, named, store, buildx="0")
    assert ran.returncode == 0, ran.stderr
    assert any(line.startswith(asked) for line in lines), lines
    assert ("will get another id" in ran.stderr) == (store == "overlay2")
    if "containerd" in store:
        assert any("rewrite-timestamp=true --file" in line and "SOURCE_DATE_EPOCH=" in line for line in lines), lines


def test_docker_without_buildx_builds_and_says_what_is_lost(tmp_path: Path) -> None:
    ran, lines = build_with(tmp_path, "docker", "", "io.containerd.snapshotter.v1", buildx="1")
    assert ran.returncode == 0, ran.stderr
    assert "this docker cannot set file times" in ran.stderr
    assert any(line.startswith("docker build --file containers/score.Containerfile") for line in lines), lines


def test_buildah_runs_no_image(tmp_path: Path) -> None:
    ran, _ = build_with(tmp_path, "buildah", "buildah", "", buildx="0")
    assert ran.returncode == 3
    assert "ENGINE=buildah can build images but not run them" in ran.stderr


def build_with(
    folder: Path, engines: str, named: str, store: str, buildx: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """`make images IMAGES=score` where only `engines` are installed, and what they were asked."""
    (folder / "bin").mkdir()
    for name in engines.split():
        (folder / "bin" / name).write_text(ASKED)
        (folder / "bin" / name).chmod(0o755)
    for tool in ("git", "basename"):
        (folder / "bin" / tool).symlink_to(str(shutil.which(tool)))
    shutil.copytree(REPOSITORY / "containers", folder / "containers")
    for words in (
        ["init", "--quiet"],
        ["add", "containers"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "recipes"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    environment = {"PATH": f"{folder}/bin", "ASKED": str(folder / "asked"), "STORE": store, "BUILDX": buildx}
    ran = subprocess.run(
        [sys.executable, "-m", "containers.images", "build", "score"],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(REPOSITORY), "ENGINE": named},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ran, (folder / "asked").read_text().splitlines() if (folder / "asked").is_file() else []


def test_podman_without_root_stays_beneath_and_hands_signals_to_its_container(tmp_path: Path) -> None:
    """As podman 4.3.1 does without root: `run` would die of the signal itself, `kill` reaches the container."""
    engine = tmp_path / "podman"
    engine.write_text(f"""#!/bin/sh
case "$1" in
run) echo $$ >{tmp_path}/run; touch {tmp_path}/started; while [ ! -e {tmp_path}/told ]; do sleep 0.05; done; exit 75 ;;
kill) [ -e {tmp_path}/started ] && echo "$*" >{tmp_path}/told ;;
esac
""")
    engine.chmod(0o755)
    program = f"from executors import container as c; print(c._stay('{engine}', ['{engine}', 'run'], 'named'))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)  # as a terminal's Ctrl-C does, to the whole group
    said, _ = process.communicate(timeout=120)
    assert said.strip() == "75"
    assert (tmp_path / "told").read_text().strip() == f"kill --signal {int(signal.SIGTERM)} named"
