"""Estimates what a training run needs before it starts: memory per device, and hours.

Uses the base model's configuration, not its weights. Activations are counted, not modelled: one and two layers of the
model run forward on shapes only (torch's FakeTensorMode), and what autograd would keep is added up.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

from stages.lib.errors import BadInput
from stages.lib.models import memory
from stages.lib.training import flops

GIB = 2**30
ALLOCATOR = 1.03  # share that a caching allocator holds beyond what is asked of it
CONTEXT_BYTES = {"cuda": 0.8 * GIB, "cpu": 0.5 * GIB}  # kernels, libraries, handles
LOGIT_CHUNK = (4096, 32768)  # tokens and vocabulary of a tile of TRL's loss (trl.kernels.chunked_logprob)
UTILISATION = 0.4  # of the matrix rate, assumed for the hours


@dataclass(frozen=True)
class Run:
    """What decides the memory: the run's parameters and the devices that share it."""

    method: Literal["lora", "full"]
    rank: int
    targets: str | list[str]
    micro_batch_rows: int
    tokens: int
    precision: Literal["float32", "bfloat16"]
    activation_checkpointing: bool
    sharding: Literal["none", "fsdp"]
    device: str
    devices: int
    dora: bool = False


@dataclass(frozen=True)
class Estimate:
    """Bytes on each device, and model FLOPs of a token."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    overhead: float
    parameters: int
    trainable: int
    flops_per_token: float

    @property
    def total(self) -> float:
        """The peak, in bytes."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.overhead


def estimate(config: Any, run: Run) -> Estimate:
    """What `run` needs for a model of the transformers configuration `config`."""
    model = _of_shapes(config, run)
    parameters = sum(weights.numel() for name, weights in model.named_parameters() if "lora_" not in name)
    trainable = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    frozen = sum(weights.numel() for weights in model.parameters()) - trainable
    shares = run.devices if run.sharding == "fsdp" else 1
    half = run.precision == "bfloat16"
    layers, kept, casts = config.num_hidden_layers, _kept(config, run), 0.0
    if half and (run.method == "full" or run.device == "cpu"):  # autocast's copies, or FSDP's gathered layers
        casts = 2.0 * parameters if run.sharding == "none" else 4.0 * parameters / layers
    if run.activation_checkpointing:
        activations = kept.outside + layers * kept.between + kept.inside + casts
    else:
        activations = kept.outside + layers * (kept.between + kept.inside) + casts
    tokens = run.micro_batch_rows * run.tokens
    if run.device == "cpu":  # stages/lib/training/loss.py: all logits in float32, their logarithms, their gradient
        logits = 3 * 4.0 * tokens * config.vocab_size
    else:  # a tile of the logits and its gradient
        logits = 2 * 4.0 * min(LOGIT_CHUNK[0], tokens) * min(LOGIT_CHUNK[1], config.vocab_size)
    total = {
        "weights": (4.0 * trainable + (2.0 if _frozen_in_half(run) else 4.0) * frozen) / shares,
        "gradients": 4.0 * trainable / shares,
        "optimizer": 8.0 * trainable / shares,  # AdamW: two moments in float32
        "activations": activations + logits,
    }
    overhead = CONTEXT_BYTES[run.device] + (ALLOCATOR - 1) * sum(total.values())
    per_token = flops.per_token(config, parameters, run.tokens, lora=run.method == "lora")
    return Estimate(**total, overhead=overhead, parameters=parameters, trainable=trainable, flops_per_token=per_token)


def require(config: Any, run: Run, available: float) -> Estimate:
    """The estimate of `run`. Raises `BadInput` if it exceeds `available` bytes of a device, saying what would fit."""
    needed = estimate(config, run)
    if needed.total <= available:
        return needed
    fitting = [
        f"{words} ({estimate(config, other).total / GIB:.1f} GiB)"
        for words, other in _alternatives(run)
        if estimate(config, other).total <= available
    ]
    advice = "; what would fit: " + ", or ".join(fitting[:3]) if fitting else "; use a smaller model or more devices"
    raise BadInput(
        f"params.yaml: train needs {needed.total / GIB:.1f} GiB on each of {run.devices} {run.device} devices "
        f"({describe(needed)}), but only {available / GIB:.1f} GiB are available{advice}"
    )


def describe(needed: Estimate) -> str:
    """The parts of an estimate in words."""
    parts = ("weights", "gradients", "optimizer", "activations", "overhead")
    return ", ".join(f"{part} {getattr(needed, part) / GIB:.1f}" for part in parts)


def available_bytes(device: str) -> float:
    """Memory of one device: a GPU's, or what this machine or its control group has left."""
    if device == "cuda":
        import torch

        return float(torch.cuda.get_device_properties(0).total_memory)
    return memory.available()


def _alternatives(run: Run) -> list[tuple[str, Run]]:
    """Smaller runs, the ones that change least first; each keeps what the ones before it saved."""
    small = replace(run, micro_batch_rows=1)
    light = replace(small, activation_checkpointing=True)
    half = replace(light, precision="bfloat16")
    found = [("micro_batch_rows: 1", small), ("activation_checkpointing: true and micro_batch_rows: 1", light)]
    if run.sharding == "none":
        found += [
            (f"sharding: fsdp on {count} devices, with those", replace(light, sharding="fsdp", devices=count))
            for count in (run.devices, 2, 4, 8)
            if count > 1 and count >= run.devices
        ]
    else:
        found += [
            (f"{count} devices, with those", replace(light, devices=count))
            for count in (2, 4, 8, 16, 32, 64)
            if count > run.devices
        ]
    if run.method == "full":
        found += [("method: lora, with those", replace(light, method="lora"))]
        found += [("method: lora in bfloat16, with those", replace(half, method="lora"))]
    else:
        found += [("precision: bfloat16, with those", half)]
    return [(words, other) for words, other in found if other != run]


@dataclass(frozen=True)
class Kept:
    """Bytes that autograd keeps from a forward pass: of each layer inside and between it and the next, and once."""

    inside: float
    between: float
    outside: float


def _kept(config: Any, run: Run) -> Kept:
    one, two = (_kept_by(config, run, layers) for layers in (1, 2))
    element = 2 if _computes_in_half(run) else 4
    between = float(element * run.micro_batch_rows * run.tokens * config.hidden_size)
    return Kept(inside=max(two - one - between, 0), between=between, outside=max(one - (two - one), 0))


def _kept_by(config: Any, run: Run, layers: int) -> float:
    """Bytes of the distinct tensors, weights and their casts apart, that `layers` layers keep for the backward."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    small = copy.deepcopy(config)
    small.num_hidden_layers = layers
    model = _of_shapes(small, run)
    half = run.precision == "bfloat16"
    with FakeTensorMode():
        _off_meta(model)
        weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
        shapes = {parameter.shape for parameter in model.parameters()} | {
            p.t().shape for p in model.parameters() if p.ndim == 2
        }
        kept: dict[int, Any] = {}

        def keep(tensor: Any) -> Any:
            is_cast = tensor.dtype is torch.bfloat16 and tensor.shape in shapes
            if tensor.untyped_storage()._cdata not in weights and not is_cast:
                kept[tensor.untyped_storage()._cdata] = tensor
            return tensor

        tokens = torch.zeros((run.micro_batch_rows, run.tokens), dtype=torch.long)
        backbone = (model.get_base_model() if run.method == "lora" else model).base_model
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=half),
        ):
            backbone(input_ids=tokens, use_cache=False)
        return float(sum(tensor.untyped_storage().nbytes() for tensor in kept.values()))


def _of_shapes(config: Any, run: Run) -> Any:
    """The model of `run`, adapters included, on torch's meta device: shapes without memory."""
    import torch
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(config)  # from_config notes the attention in it, and a caller makes a model of it too
    with torch.device("meta"):
        dtype = torch.bfloat16 if _computes_in_half(run) else torch.float32
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=_causal_without_a_mask())
        if run.method == "lora":
            from peft import LoraConfig, get_peft_model

            lora = LoraConfig(task_type="CAUSAL_LM", r=run.rank, target_modules=run.targets, use_dora=run.dora)
            model = get_peft_model(model, lora, low_cpu_mem_usage=True)
    return model.train()


def _causal_without_a_mask() -> str:
    """The name of PyTorch's attention without the mask that transformers makes when it sees no values: a real run
    needs none, for its rows are causal and whole."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register("planned", sdpa_attention_forward)
    AttentionMaskInterface.register("planned", lambda *_, **__: None)
    return "planned"


def _frozen_in_half(run: Run) -> bool:
    """Whether the base's weights are held in bfloat16: under LoRA on a GPU (stages/lib/training/trainer.py)."""
    return run.precision == "bfloat16" and run.method == "lora" and run.device == "cuda"


def _computes_in_half(run: Run) -> bool:
    """Whether a layer sees its weights in bfloat16: they are held so, or FSDP gathers them so."""
    return _frozen_in_half(run) or (run.precision == "bfloat16" and run.sharding == "fsdp")


def _off_meta(model: Any) -> None:
    """Give every weight of `model` a tensor of the current (fake) device; tied weights stay tied."""
    import torch

    made: dict[int, tuple[Any, Any]] = {}
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name, old in store.items():
                if old is None:
                    continue
                if id(old) not in made:
                    new = torch.empty(old.shape, dtype=old.dtype)
                    weight = torch.nn.Parameter(new, old.requires_grad) if isinstance(old, torch.nn.Parameter) else new
                    made[id(old)] = (weight, old)
                store[name] = made[id(old)][0]


def run_of(section: dict[str, Any], devices: int, device: str) -> Run:
    """The run that the section `train` of params.yaml describes, on so many devices."""
    return Run(
        method=section["method"],
        rank=section["lora"]["rank"],
        targets=section["lora"]["targets"],
        micro_batch_rows=section["micro_batch_rows"],
        tokens=section["max_tokens"],
        precision=section["precision"],
        activation_checkpointing=section["activation_checkpointing"],
        sharding=section["sharding"],
        device=device,
        devices=devices,
        dora=section["lora"].get("dora", False),
    )
