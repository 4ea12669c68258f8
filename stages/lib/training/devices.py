"""The devices that train together, one process each (stages/lib/processes.py), and each one's share of a batch."""

from typing import Literal

from stages.lib.errors import BadInput


def on_this_machine(processes: int | Literal["auto"], device: str) -> int:
    """The number of processes to start here: one per GPU, or `processes`.

    Raises `BadInput` for more than there are GPUs.
    """
    import torch

    found = torch.cuda.device_count() if device == "cuda" else 1
    if processes == "auto":
        return found
    if device == "cuda" and processes > found:
        raise BadInput(f"params.yaml: train.processes: {processes}, but this machine has {found} GPUs; set it to auto")
    return processes


def accumulation(batch_rows: int, micro_batch_rows: int, replicas: int) -> int:
    """Micro-batches per step on each replica of the model, so that a step is exactly `batch_rows`.

    Raises `BadInput` if the batch is no whole number of them.
    """
    together = micro_batch_rows * replicas
    if batch_rows % together:
        fitting = [n for n in range(1, batch_rows + 1) if batch_rows % (n * replicas) == 0]
        advice = f"set train.micro_batch_rows to one of {fitting}" if fitting else "use another number of devices"
        raise BadInput(
            f"params.yaml: train.batch_rows: {batch_rows} rows cannot be split into micro-batches of {micro_batch_rows}"
            f"{f' on {replicas} devices' if replicas > 1 else ''}; {advice}"
        )
    return batch_rows // together


def check_sharding(sharding: str, devices: int) -> None:
    """Raise `BadInput` for FSDP on one device."""
    if sharding == "fsdp" and devices == 1:
        raise BadInput(
            "params.yaml: train.sharding: fsdp shares a model among devices, but there is only one; set it to none"
        )
