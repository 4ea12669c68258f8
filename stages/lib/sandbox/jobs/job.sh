#!/bin/sh
# One job in a compiled language: job.sh LANGUAGE CPU_S FILE_MB PROCESSES
# Standard input holds a line with the word to print once the program is built, the number of copies of the tests and the
# name of the first without its number; then for each source file a line with its length and name and the file, then a
# blank line; what is left is the program's: the run's secret, once for each copy.
language=$1 cpu=$2
jobs=${0%/*}
ulimit -c 0
ulimit -n 128
ulimit -f $(($3 * 2048))
ulimit -p "$4"
read -r built copies entry
while read -r length name && [ -n "$length" ]; do
	head -c "$length" >"$name"
done
(
	ulimit -t 30
	. "$jobs/$language.sh"
) </dev/null || exit 96
printf '\n%s\n' "$built"
. "$jobs/run-$language.sh"
