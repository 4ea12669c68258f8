"""The errors that a person can act on."""


class BadInput(Exception):
    """Bad input or configuration: the message names the file, row or key and says what to do.

    `stages/run` prints it without a traceback and exits with status 3, which no executor retries.
    """
