"""What a Job costs beyond its stage's own work, on the cluster that KUBECONFIG names.

    .venv/bin/python -m bench.jobs --remote s3://bucket/path [--endpoint URL] [--rounds 5]

The stage is filter on the test sources' functions, work of about a second, in a small repository whose DVC remote is
`--remote`, which pods must reach at the same address. How Jobs are made is k8s/params.yaml's and
containers/images.lock.yaml's. Each round runs the bare module here, then, under a parameter that no earlier Job had
(`--first` sets where these begin), `python -m executors.kubernetes run filter`: from the command to the result's being
here and verified. The first round, in which a node may pull the image, is left out. Prints and writes to
bench/results/jobs.json the medians and quartiles, in seconds on the clock, of what the Job takes more than the bare
module, and of the parts between what the submitter says.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests/support")]
RESULT = REPOSITORY / "bench/results/jobs.json"
# Each part ends with the first line of the submitter that holds its mark.
MARKS = {
    "push and submit": ": submitted",
    "schedule and start": ": running",
    "fetch": "Running stage",
    "stage": "Updating lock file",
    "deliver": "pod: delivered",
    "take": ": here and verified",
}


def main() -> None:
    """Measure and write the result."""
    from clones import Street

    from bench.overhead import BARE, measure, quartiles

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remote", required=True)
    parser.add_argument("--endpoint", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first", type=int, default=100_000 + int(time.time()) % 100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        street = Street(Path(folder) / "host", options.remote)
        street.edit(REPOSITORY / "k8s/params.yaml", "k8s/params.yaml", lambda values: None)  # with the user's Secret
        (street.path / ".venv").symlink_to(sys.prefix)
        if options.endpoint:
            street.dvc("remote", "modify", "store", "endpointurl", options.endpoint)
        subprocess.run(["stages/run", "collect"], cwd=street.path, check=True, env=street.env())
        street.dvc("commit", "--force", "collect")
        beyond, parts = [], []
        for number in range(options.rounds + 1):
            ngram = options.first + number  # of contamination: longer than any row, so that none is dropped for it
            street.edit(
                "params.yaml", "params.yaml", lambda values, n=ngram: values["filter"]["contamination"].update(ngram=n)
            )
            street.commit()
            alone, _ = measure(BARE, street.path, street.env())
            taken = submit(street)
            print({part: round(seconds, 1) for part, seconds in taken.items()}, flush=True)
            if number:
                beyond.append(sum(taken.values()) - alone)
                parts.append(taken)
    result = {
        "overhead_s": quartiles(beyond),
        "seconds": {part: quartiles([taken[part] for taken in parts]) for part in MARKS},
        "rounds": options.rounds,
        "load": os.getloadavg()[1],
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.release()},
    }
    RESULT.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(json.dumps(result, indent=1))


def submit(street) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Seconds between the lines that MARKS names. Ends the program with the submitter's words if it fails."""
    marks, taken, words = list(MARKS.items()), {}, []
    before = time.monotonic()
    process = street.start("executors.kubernetes", "run", "filter")
    for line in process.stdout:
        words.append(line)
        if marks and marks[0][1] in line:
            now = time.monotonic()
            taken[marks.pop(0)[0]] = now - before
            before = now
    if process.wait() or marks:
        sys.exit(f"status {process.returncode}, {', '.join(part for part, _ in marks)} not seen\n{''.join(words)}")
    return taken


if __name__ == "__main__":
    main()
