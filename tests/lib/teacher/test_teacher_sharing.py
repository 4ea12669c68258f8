"""The shared journal, with real clones, a real DVC remote, and the endpoint's own count of what was asked."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import endpoint
import pytest
from asking import ask_all, asks, put, settings
from workspace import IMPORTABLE, REPOSITORY

from commands import journal
from stages.lib.errors import BadInput
from stages.lib.teacher import sharing
from stages.lib.teacher.exchange import Request
from stages.lib.teacher.journal import Journal

STAGE = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from asking import ask_all, asks, put, settings
start, end = Path("rows").read_text().split()
given = ask_all(settings({url!r}), asks(int(end), int(start)), Path("journal"))
Path("answers").write_text("\\n".join(str(answer.value) for answer in given))
"""


class Clone:
    """A working tree whose one stage asks a teacher for the rows that the file `rows` names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, path: Path, url: str, remote: Path) -> "Clone":
        path.mkdir()
        one = cls(path)
        shutil.copy(REPOSITORY / ".gitignore", path)
        program = STAGE.format(path=IMPORTABLE, url=url)
        (path / "ask.py").write_text(program)
        (path / "rows").write_text("0 20")
        command = f"{sys.executable} ask.py"
        stage = {"cmd": command, "deps": ["ask.py", "rows"], "outs": ["answers"]}
        (path / "dvc.yaml").write_text(json.dumps({"stages": {"ask": stage}}))
        one.git("init", "--quiet", "--initial-branch=main")
        one.dvc("init", "--quiet")
        one.dvc("remote", "add", "--quiet", "--default", "store", str(remote))
        return one

    def clone(self, path: Path) -> "Clone":
        self.git("clone", "--quiet", ".", str(path))
        return Clone(path)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a"}
        environment = {**os.environ, **names, "GIT_COMMITTER_EMAIL": "a@b", "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True)

    def must(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def git(self, *words: str) -> str:
        return self.must("git", *words)

    def dvc(self, *words: str) -> str:
        return self.must(sys.executable, "-m", "dvc", *words)

    def journal(self, what: str) -> str:
        return self.must(sys.executable, "-m", "commands", "journal-share", what)

    def ask(self, rows: str) -> None:
        (self.path / "rows").write_text(rows)
        self.dvc("repro", "--quiet", "--force", "ask")

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "more")


@pytest.mark.slow
def test_a_colleague_replays_a_paid_run_for_nothing(tmp_path: Path) -> None:
    with endpoint.serve() as server:
        ours = Clone.make(tmp_path / "ours", server.url, tmp_path / "remote")
        ours.ask("0 20")
        assert "20 new responses sealed, 1 segments, pushed" in ours.journal("share")
        assert "nothing new, 1 segments" in ours.journal("share")
        ours.commit()
        assert "journal/exchanges.log" not in ours.git("ls-files") and "journal/shared.dvc" in ours.git("ls-files")
        assert len(server.asked) == 20
        assert json.loads(ours.dvc("status", "--json")) == {}, "sharing makes nothing stale"

        theirs = ours.clone(tmp_path / "theirs")
        theirs.dvc("pull", "journal/shared.dvc")
        theirs.dvc("repro", "--quiet")
        assert len(server.asked) == 20, "dvc pull, then the run: no request"
        assert (theirs.path / "answers").read_text() == (ours.path / "answers").read_text()

        theirs.ask("10 30")  # both go on apart
        theirs.journal("share")
        theirs.commit()
        ours.ask("25 40")
        ours.dvc("checkout", "--force")
        ours.journal("share")
        ours.commit()
        assert ours.run("git", "pull", "--quiet", "--no-rebase", str(theirs.path), "main").returncode != 0
        refused = ours.run(sys.executable, "-m", "commands", "journal-share", "share")
        assert refused.returncode == 3 and "git checkout --theirs journal/shared.dvc" in refused.stderr
        ours.git("checkout", "--theirs", "journal/shared.dvc", "rows", "dvc.lock")
        ours.journal("share")
        ours.commit()

        third = ours.clone(tmp_path / "third")
        third.dvc("pull", "journal/shared.dvc")
        asked = len(server.asked)
        third.ask("0 40")
        assert len(server.asked) == asked == 45, "10 and 15 more, 5 of them by both who could not know; none since"


@pytest.mark.slow
def test_pods_exchange_answers_without_a_commit(tmp_path: Path) -> None:
    with endpoint.serve() as server:
        here = Clone.make(tmp_path / "here", server.url, tmp_path / "remote")
        here.commit()
        pods = [here.clone(tmp_path / f"pod{number}") for number in range(2)]
        pods[0].journal("bring")
        pods[0].ask("0 12")
        assert "12 new responses, 1 segments published" in pods[0].journal("publish")
        assert "0 new responses, 0 segments published" in pods[0].journal("publish")
        assert "1 segments fetched, 12 new responses" in pods[1].journal("bring")
        pods[1].ask("6 18")
        assert "6 new responses, 1 segments published" in pods[1].journal("publish")
        assert len(server.asked) == 18
        assert "18 new responses" in here.journal("bring")
        here.journal("share")
        here.commit()
        colleague = here.clone(tmp_path / "colleague")
        colleague.dvc("pull", "journal/shared.dvc")
        colleague.ask("0 18")
        assert len(server.asked) == 18


@pytest.mark.slow
def test_pods_exchange_answers_through_s3(tmp_path: Path, s3: tuple[str, Path], credentials: None) -> None:
    pods = [Clone.make(tmp_path / f"pod{number}", "", Path("nowhere")) for number in range(2)]
    for pod in pods:
        pod.dvc("remote", "modify", "store", "url", "s3://bucket/answers")
        pod.dvc("remote", "modify", "store", "endpointurl", s3[0])
    book = Journal(pods[0].path / "journal")
    request = put(book, 1)
    book.close()
    assert "1 new responses, 1 segments published" in pods[0].journal("publish")
    assert "1 segments fetched, 1 new responses" in pods[1].journal("bring")
    assert Journal(pods[1].path / "journal").get(request)
    stored = next((s3[1] / "bucket/answers/journal").glob("*.log.zst"))
    stored.write_bytes(b"other bytes")
    again = pods[0].run(sys.executable, "-m", "commands", "journal-share", "bring")
    assert again.returncode == 0, "what a pod has is not fetched again"
    shutil.rmtree(pods[1].path / "journal")
    refused = pods[1].run(sys.executable, "-m", "commands", "journal-share", "bring")
    assert (
        refused.returncode == 3 and f"{stored.name} on the remote does not match the hash in its name" in refused.stderr
    )


def test_a_journal_is_a_union_by_the_requests_hash(tmp_path: Path) -> None:
    mine, yours = Journal(tmp_path / "mine"), Journal(tmp_path / "yours")
    both, own = put(mine, 1, "mine"), put(mine, 2)
    put(yours, 1, "yours")
    other = put(yours, 3)
    assert sharing.seal(yours) == 2 and sharing.seal(yours) == 0
    shutil.copytree(tmp_path / "yours/shared", tmp_path / "mine/shared")
    assert sharing.take_in(mine) == 1 and sharing.take_in(mine) == 0

    def text(request: Request) -> str:
        reply = mine.get(request)
        return reply.text if reply else ""

    assert [text(request) for request in (both, own, other)] == ["mine", "hello", "hello"]
    assert "/shared: " in "\n".join(journal.describe(tmp_path / "mine"))
    assert sharing.seal(mine) == 1 and len(sharing.segments(tmp_path / "mine")) == 2
    fresh = Journal(tmp_path / "fresh")
    shutil.copytree(tmp_path / "mine/shared", tmp_path / "fresh/shared")
    assert sharing.take_in(fresh) == 3


def test_the_same_records_make_the_same_segment(tmp_path: Path) -> None:
    for name, numbers in (("one", range(50)), ("two", reversed(range(50)))):
        book = Journal(tmp_path / name)
        for number in numbers:
            put(book, number)
        sharing.seal(book)
    one, two = (sharing.segments(tmp_path / name) for name in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two]


def test_a_damaged_segment_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    put(book, 1)
    sharing.seal(book)
    segment = sharing.segments(tmp_path)[0]
    segment.write_bytes(segment.read_bytes()[:-1])
    with endpoint.serve() as server:
        with pytest.raises(BadInput, match=rf"{segment.name} does not match the hash in its name; remove it"):
            ask_all(settings(server.url), asks(1), tmp_path)
        assert not server.asked
