"""The only door for code that we did not write: one function runs a program against its tests and says what happened.

The strongest isolation that is found is used (`isolation()` names it): bubblewrap, else user namespaces
through unshare(1), else none, which is refused unless it was asked for. docs/sandbox.md says what holds.
"""

from stages.lib.sandbox.languages import missing
from stages.lib.sandbox.program import Execution, Limits, Outcome, Program, Verdict
from stages.lib.sandbox.run import isolation, run_all, session

__all__ = ["Execution", "Limits", "Outcome", "Program", "Verdict", "isolation", "missing", "run_all", "session"]
