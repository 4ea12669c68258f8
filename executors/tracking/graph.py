"""The graph of dvc.yaml as a submitter sees it: which stages are stale, and each one's inputs.

Inputs are identified by hash: upstream outputs by dvc.lock, whether or not they are in this workspace.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from stages.lib.artifacts import canonical
from stages.lib.errors import BadInput

SECRETS = {
    *("access_key_id", "secret_access_key", "session_token", "password", "keyfile", "connection_string"),
    *("sas_token", "account_key", "client_secret", "credentialpath", "gdrive_service_account_json_file_path"),
    *("oss_key_secret", "oss_key_id", "token", "custom_auth_header", "profile", "configpath"),
}


@dataclass(frozen=True)
class Stage:
    """One entry of dvc.yaml: `inputs` for its key; `reads` and `writes` are paths; `fresh`: dvc.lock has its result."""

    name: str
    upstream: frozenset[str]
    inputs: dict[str, Any]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    fresh: bool


def load() -> dict[str, Stage]:
    """Every stage of dvc.yaml, in topological order.

    Raises `BadInput` if a dependency that no stage makes is missing.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        entries = {stage.name: stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"}
        makers = {out.fs_path: (name, out) for name, stage in entries.items() for out in stage.outs}
        found = {name: _stage(repo, stage, makers) for name, stage in entries.items()}
    ordered: dict[str, Stage] = {}
    while len(ordered) < len(found):
        for name, stage in found.items():
            if name not in ordered and stage.upstream <= ordered.keys():
                stale = any(not ordered[maker].fresh for maker in stage.upstream)
                ordered[name] = Stage(**{**stage.__dict__, "fresh": stage.fresh and not stale})
    return ordered


@dataclass(frozen=True)
class Step:
    """A stage of a run: what it needs of the others in the run; `fresh`: neither it nor they have anything to do."""

    name: str
    upstream: frozenset[str]
    fresh: bool


class Unreadable(Exception):
    """DVC cannot read its files, or another process holds them."""


def plan(targets: Sequence[str] = ()) -> tuple[dict[str, Step], list[str]]:
    """What `dvc repro TARGET …` goes through, in its order (upstream first), and where it finds nothing to do; and the
    stages in dvc.lock, in its order.

    Raises `Unreadable` where DVC cannot tell; `dvc repro` will say why.
    """
    from dvc.dvcfile import PROJECT_FILE
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    found: dict[str, Step] = {}
    try:
        with Repo() as repo, repo.lock:
            graph = get_active_graph(repo.index.graph)
            for stage in plan_repro(graph, collect_stages(repo, targets or [PROJECT_FILE])):
                upstream = frozenset(one.addressing for one in graph.successors(stage))
                fresh = all(found[one].fresh for one in upstream) and not stage.changed()
                found[stage.addressing] = Step(stage.addressing, upstream, fresh)
            return found, _locked(repo)
    except DvcException as error:
        raise Unreadable(str(error)) from error


def arrange(known: Sequence[str], planned: Sequence[str]) -> None:
    """Put those entries of dvc.lock that are not in `known` in the order `planned`, as one `dvc repro` would have.

    Where DVC cannot, because another process holds its lock, they stay as they are: only the order differs.
    """
    from dvc.dvcfile import LOCK_FILE
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.utils.serialize import modify_yaml

    with suppress(DvcException), Repo() as repo, repo.lock:
        new = [name for name in _locked(repo) if name not in known]
        wanted = [name for name in planned if name in new]
        if wanted == new:
            return
        with modify_yaml(LOCK_FILE, fs=repo.fs) as content:
            for name in wanted:
                content["stages"][name] = content["stages"].pop(name)


def _locked(repo: Any) -> list[str]:
    from dvc.dvcfile import LOCK_FILE, Lockfile

    return list(Lockfile(repo, LOCK_FILE).load().get("stages", {}))


def names(targets: Sequence[str] = ()) -> list[str]:
    """The stages of dvc.yaml in the order of the file, or only `targets` with what is upstream of them.

    None where DVC cannot read the file; `dvc repro` will say why.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            entries = {stage.name: stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"}
            wanted = {stage for name, stage in entries.items() if not targets or name in targets}
            for stage in tuple(wanted) if targets else ():
                wanted |= _upstream(repo.index.graph, stage)
            return [name for name, stage in entries.items() if stage in wanted]
    except DvcException:
        return []


def _upstream(graph: Any, stage: Any) -> set[Any]:
    """What `stage` depends on; the graph's edges lead there."""
    found: set[Any] = set()
    rest = [stage]
    while rest:
        new = set(graph.successors(rest.pop())) - found
        found |= new
        rest += new
    return found


def _stage(repo: Any, stage: Any, makers: dict[str, tuple[str, Any]]) -> Stage:
    inputs: dict[str, Any] = {"cmd": stage.cmd}
    upstream, reads = set(), []
    fresh = not stage.cmd_changed and all(out.hash_info for out in stage.outs)
    for dep in stage.deps:
        path = repo.fs.relpath(dep.fs_path)
        if dep.hash_name == "params":
            current: Any = dep.read_params()
            locked = dep.hash_info.value if dep.hash_info else None
            path = f"params of {path}"
        elif dep.fs_path in makers:
            maker, out = makers[dep.fs_path]
            upstream.add(maker)
            reads.append(path)
            current = out.hash_info.value if out.hash_info else None
            locked = dep.hash_info.value if dep.hash_info else None
        else:
            if not dep.exists:
                raise BadInput(f"{path}, a dependency of {stage.name}, is missing; restore it (`git checkout {path}`)")
            locked = dep.hash_info.value if dep.hash_info else None
            current = dep.get_hash().value
        inputs[path] = current
        fresh = fresh and canonical(current) == canonical(locked)
    writes = tuple(repo.fs.relpath(out.fs_path) for out in stage.outs)
    return Stage(stage.name, frozenset(upstream), inputs, tuple(reads), writes, fresh)


def remote(override: str, endpoint: str = "", shares_folders: bool = False) -> dict[str, str]:
    """The remote as a pod configures it: url and options, no secret. `override` and `endpoint` are the url and the S3
    endpoint as pods reach them, "" if the same as here; `shares_folders`: they see this machine's folders.

    Raises `BadInput` if there is no default remote, or pods could not reach it.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        names, default = sorted(repo.config["remote"]), repo.config["core"].get("remote")
        if not default:
            raise BadInput(
                f"none of the {len(names)} remotes ({', '.join(names)}) is the default: run `dvc remote default NAME`"
                if names
                else "jobs exchange data through DVC's remote, and none is set: run `make remote URL=s3://bucket/path`"
            )
        options = {key: str(value) for key, value in repo.config["remote"][default].items() if key not in SECRETS}
    if endpoint:
        options["endpointurl"] = endpoint
    if override:
        options["url"] = override
    elif "://" not in options["url"] and not shares_folders:
        raise BadInput(
            f"remote {default} is the local folder {options['url']}, which pods do not see; set another with `make "
            "remote URL=s3://bucket/path`, or set cluster.remote in k8s/params.yaml to its address for pods"
        )
    return options
