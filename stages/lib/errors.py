"""The error for problems that a person can fix, and the exit statuses that every executor understands."""

DONE = 0  # and sealed
CRASHED = 1
BAD_INPUT = 3  # never retried
PREEMPTED = 75  # progress is saved; retried at no cost
INTERRUPTED = 130  # from the keyboard


class BadInput(Exception):
    """Bad input or configuration. The message names the file, row or key and says what to do.

    `stages/run` prints it without a traceback and exits with status 3, which no executor retries.
    """
