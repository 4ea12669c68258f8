"""Puts the tests to a solution in a process of its own; ends with 0 if all hold, and says which did not.

Only plain values cross between the two (wire.py): neither the tests nor the verdict are in the solution's process.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import wire  # noqa: E402

SECONDS = 10  # for all tests
WIRE, CANDIDATE = ((HERE / name).read_text(encoding="utf-8") for name in ("wire.py", "candidate.py"))
NOBODY = "os.setgroups([]); os.setgid(65534); os.setuid(65534); "  # who may not read tests.json
PROGRAM = (
    "import __future__, os, sys, types; "
    + (NOBODY if os.geteuid() == 0 else "")
    + "wire = sys.modules['wire'] = types.ModuleType('wire'); "
    + f"exec({WIRE!r}, vars(wire)); exec({CANDIDATE!r}, {{'__name__': '__main__'}})"
)


def main(solution):
    """Run the tests on the file `solution`."""
    told = json.loads((HERE / "tests.json").read_text(encoding="utf-8"))
    text = Path(solution).read_text(encoding="utf-8")
    ask, answer = os.pipe(), os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", PROGRAM, told["entry_point"], str(ask[0]), str(answer[1])],
        pass_fds=(ask[0], answer[1]),
        start_new_session=True,
    )
    for one in (ask[0], answer[1]):
        os.close(one)
    wire.send(ask[1], text)
    watch = subprocess.Popen(["sh", "-c", f"sleep {SECONDS}; kill -9 -{child.pid}"], start_new_session=True)

    def candidate(*arguments, **named):
        wire.send(ask[1], [list(arguments), named])
        raised, value = wire.receive(answer[0])
        if raised is not False:
            raise RuntimeError(f"the solution raised {raised}")
        return value

    failed = []
    for line in told["tests"]:
        try:
            exec(line, {"candidate": candidate})
        except BaseException as error:
            failed.append(f"{line}: {type(error).__name__} {error}")
    for one in (child, watch):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, 9)
        one.wait()
    print("\n".join(failed) or f"{len(told['tests'])} tests hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
