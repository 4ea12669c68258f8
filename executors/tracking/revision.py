"""The files of any commit of this workspace, those that DVC tracks included."""

from collections.abc import Iterator
from contextlib import contextmanager

from executors.tracking import git
from executors.tracking.clone import Files
from stages.lib.errors import BadInput


@contextmanager
def files(name: str) -> Iterator[Files]:
    """The files of the commit that `name` names: a hash, a branch, a tag, HEAD~1, an experiment.

    What DVC tracks is read from its cache, or from the remote if it is not there. Raises `BadInput` if there is no
    such commit, or no DVC workspace.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    candidates = (name, *git.run("for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}").stdout.split())
    found = (git.run("rev-parse", "--verify", "--quiet", f"{one}^{{commit}}").stdout.strip() for one in candidates)
    commit = next(filter(None, found), None)
    if commit is None:
        raise BadInput(f"{name} is neither a folder or page here nor a git revision")
    try:
        with Repo(rev=commit) as repo:
            yield Files(repo)
    except NotDvcRepoError:
        raise BadInput("this is not a DVC workspace; run this at the top of Tidemill's repository") from None
