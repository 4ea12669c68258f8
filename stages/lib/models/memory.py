"""This machine's free memory, and whether a model fits into it."""

from pathlib import Path

from stages.lib.errors import BadInput

GIB = 2**30
# Per llama.cpp server, besides the file, which all share: weights rearranged for the processor, up to 0.7
# of the file (Qwen2.5-Coder 1.5B Q4_K_M), and buffers, under 200 MiB for 2,048 tokens of context.
REPACKED = 0.7
BUFFERS = GIB / 4


def available() -> float:
    """Bytes left on this machine or in its control group."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    left = float(fields["MemAvailable"].split()[0]) * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and limit.read_text().strip() != "max":
        left = min(left, float(limit.read_text()) - float(used.read_text()))
    return left


def check(model: Path, servers: int) -> None:
    """Raise `BadInput` if `servers` llama.cpp servers of the GGUF file `model` do not fit into what is left."""
    file = model.stat().st_size
    needed, left = file + servers * (REPACKED * file + BUFFERS), available()
    if needed > left:
        raise BadInput(
            f"{model.name} needs {needed / GIB:.1f} GiB of memory for servers: {servers}, and {left / GIB:.1f} GiB are "
            "left here; name a smaller model in teacher.model, lower teacher.servers, or end other programs"
        )
