"""The jobs of languages whose tests and candidate share a process: jobs/job.sh, each in a cell of its own."""

import os

from . import cell, server

LEAST_FILE_MB = 64  # for what a compiler writes


def main(cpu_s: int, memory_mb: int, processes: int, file_mb: int, *words: str) -> None:
    """Serve jobs; for each the supervisor passes its input and a file to print to. `words`: the job's environment,
    `--`, the command, which gets the limits as further arguments."""
    end = words.index("--")
    environment = dict(word.split("=", 1) for word in words[:end])
    file_mb = max(file_mb, LEAST_FILE_MB)
    limits = [str(number) for number in (cpu_s, file_mb, processes)]
    command = [*words[end + 1 :], *limits]

    def begin(source: int, output: int) -> None:
        for standard, file in ((0, source), (1, output), (2, output)):
            os.dup2(file, standard)
        os.closerange(3, 128)
        cell.forbid()
        os.execve(command[0], command, environment)

    server.serve(begin, file_mb)
