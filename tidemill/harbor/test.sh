#!/bin/bash
# Harbor runs this in the working directory, /app, and reads the reward.
tests="$(cd "$(dirname "$0")" && pwd)"
logs="${LOGS:-/logs/verifier}"
mkdir -p "$logs"
echo 0 > "$logs/reward.txt"
python3 -I "$tests/check.py" solution.py && echo 1 > "$logs/reward.txt"
exit 0
