
# On a node: runs the phases of k8s/base/pod.py, and goes back to the queue after exit status 75 and after a crash.
# executors/slurm/jobs.py puts the options of sbatch and the settings before this.
me=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
me=${me:-$SLURM_JOB_ID}
end=$FOLDER/$PART.$me # .status: the last word on this job; .crashes: how often it has crashed
export TMPDIR=${TMPDIR:-/tmp}/tidemill-$SLURM_JOB_ID
export JOB_COMPLETION_INDEX=${SLURM_ARRAY_TASK_ID:-}
rm -rf "$TMPDIR" && mkdir -p "$TMPDIR"
trap 'rm -rf "$TMPDIR"' EXIT
unset PYTHONPATH PYTHONHOME TIDEMILL_PROGRESS

finish() {
	if [ "$1" = 75 ]; then
		again "its progress is saved" && exit 75
	elif [ "$1" != 0 ] && [ "$1" != 3 ]; then
		crashes=$(cat "$end.crashes" 2>/dev/null || echo 0)
		if [ "$crashes" -lt "$RETRIES" ]; then
			echo $((crashes + 1)) >"$end.crashes"
			again "it ended with status $1, and $((RETRIES - crashes - 1)) of $RETRIES retries are left" && exit "$1"
		fi
	fi
	# A job that Slurm itself is ending (scancel, preemption, the limit) has no last word: Slurm has.
	[ "$1" = 0 ] || is_running || exit "$1"
	echo "$1" >"$end.new" && mv "$end.new" "$end.status"
	exit "$1"
}

is_running() { [[ $(scontrol --oneliner show job "$me") == *" JobState=RUNNING "* ]]; }

again() { # not if somebody has cancelled it: a requeue would bring it back
	is_running || return 1
	echo "job $me goes back to the queue: $1"
	scontrol requeue "$me"
}

# Slurm sends SIGTERM to every process of a job that it ends, and SIGUSR1 to this one before the limit. Both are passed
# on; the stage takes two SIGTERM at once for one.
tell() {
	if [ "$NODES" != 1 ]; then
		scancel --signal=TERM "$SLURM_JOB_ID" # to the nodes' processes; srun itself would end them
	elif [ "$CONTAINER" = podman ]; then
		podman kill --signal TERM "$NAME" >/dev/null # without root, podman would die of it before its container
	else
		kill -TERM "$child"
	fi 2>/dev/null
}

run() { # `run WORDS…` returns their exit status, also after signals
	"$@" &
	child=$!
	trap tell TERM USR1
	while kill -0 "$child" 2>/dev/null; do wait "$child"; done # a signal ends `wait`, not the child
	trap : TERM USR1
	wait "$child"
}

pod() { run "${ENTER[@]}" "$PYTHON" "$FOLDER/pod.py" "$@"; }

trap 'finish 75' TERM USR1 # until there is a child to tell
if [ "$CONTAINER" = podman ]; then # this job's own name
	NAME=$NAME-$me
	ENTER=("${ENTER[@]:0:2}" --name "$NAME" "${ENTER[@]:2}")
fi
for module in "${MODULES[@]}"; do
	module load "$module" || { echo "module load $module failed (cluster.modules in slurm/params.yaml)"; finish 3; }
done
if [ ${#ENTER[@]} = 0 ] && ! command -v "$PYTHON" >/dev/null; then
	echo "$(hostname) has no $PYTHON: set cluster.python or cluster.container in slurm/params.yaml"
	finish 3
fi

if [ "$NODES" = 1 ]; then
	pod "${PHASES[@]}"
	finish $?
fi

# Several nodes: the first fetches; all run, meeting by torchrun's variables; the first delivers.
address=$(scontrol --oneliner show node "$SLURMD_NODENAME")
address=${address#* NodeAddr=}
export PET_NNODES=$NODES PET_MASTER_ADDR=${address%% *} PET_MASTER_PORT=$((10000 + SLURM_JOB_ID % 20000)) NODE_STATUS=$end.node
rm -f "$NODE_STATUS".*
pod fetch || finish $?
# Whoever is told to stop has saved together with the first node, which says so; any other failure ends them all.
# shellcheck disable=SC2016
run srun --kill-on-bad-exit=1 --ntasks-per-node=1 bash -c '
	export PET_NODE_RANK=$SLURM_PROCID
	trap : TERM
	"$@"
	status=$?
	echo "$status" >"$NODE_STATUS.$SLURM_PROCID"
	[ "$SLURM_PROCID" != 0 ] && [ "$status" = 75 ] && exit 0
	exit "$status"' node "${ENTER[@]}" "$PYTHON" "$FOLDER/pod.py" run
status=$?
grep --quiet --no-messages --line-regexp 3 "$NODE_STATUS".* && finish 3
[ "$status" = 0 ] || finish "$status"
pod deliver
finish $?
