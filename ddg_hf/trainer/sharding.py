# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Generators whose weights, gradients or optimizer states are spread over processes: FSDP2 and DeepSpeed ZeRO."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from accelerate.utils import disable_fsdp_ram_efficient_loading, extract_model_from_parallel
from torch import nn
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from ..errors import UserError

if torch.distributed.is_available():
    from torch.distributed.fsdp import FSDPModule
else:
    FSDPModule = ()  # nothing is an instance of it


def load_models_whole() -> None:
    """
    Makes `from_pretrained` load whole models on every process, whatever the engine of the generator is.

    Only the generator is sharded, and only after its vocabulary has been cut. FSDP's memory-efficient loading would
    leave the learner of all processes but the first without weights, ZeRO-3 would shard it without an engine.
    """
    disable_fsdp_ram_efficient_loading()
    unset_hf_deepspeed_config()


def check_engine(accelerator, model) -> None:
    """
    Raises a `UserError` if the sharding that accelerate is configured for cannot train or save this generator.

    Args:
        accelerator (`Accelerator`): of the run.
        model (`PreTrainedModel` or `PeftModel`): the generator, not wrapped yet.
    """
    fsdp = getattr(accelerator.state, "fsdp_plugin", None)
    zero = getattr(accelerator.state, "deepspeed_plugin", None)
    zero_3 = zero is not None and zero.zero_stage == 3
    if fsdp is not None and fsdp.fsdp_version != 2:
        raise UserError("FSDP 1 is not supported; set fsdp_version: 2, as accelerate_configs/fsdp2.yaml does")
    if fsdp is not None and "FULL_STATE_DICT" not in str(fsdp.state_dict_type):
        raise UserError("checkpoints hold whole models; set fsdp_state_dict_type: FULL_STATE_DICT")
    if zero_3 and not zero.deepspeed_config["zero_optimization"].get("stage3_gather_16bit_weights_on_model_save"):
        raise UserError("checkpoints hold whole models; set zero3_save_16bit_model: true")
    if (fsdp is not None or zero_3) and hasattr(model, "merge_and_unload"):
        raise UserError("LoRA adapters cannot be sharded; use accelerate_configs/ddp.yaml or zero2.yaml")


def keep_head_gathered(model) -> None:
    """
    Has ZeRO-3 gather the output head once for each forward and backward pass of the whole generator.

    The loss applies the head to one chunk of tokens after the other, and processes differ in the number of chunks.
    Were it gathered for every chunk, they would wait for each other for ever. Other models are left alone.

    Args:
        model: the generator as accelerate has wrapped it.
    """
    root = extract_model_from_parallel(model)
    head = [p for p in root.get_output_embeddings().parameters() if hasattr(p, "ds_id")]
    if head:
        from deepspeed.runtime.zero import register_external_parameter

        for parameter in head:
            register_external_parameter(root, parameter)


@contextlib.contextmanager
def gathered(model) -> Iterator[nn.Module]:
    """
    The unwrapped generator with whole parameters, for sampling and measuring without gradient. Can be nested.

    Inside, forward passes involve no other process, so processes may make different numbers of them. All processes
    must enter and leave together. Without sharded parameters (DDP, ZeRO-1 and 2, one process) nothing is moved.

    Args:
        model: the generator as accelerate has wrapped it, or not wrapped at all.
    """
    root = extract_model_from_parallel(model, keep_torch_compile=False)
    if getattr(root, "_is_gathered", False):
        context = contextlib.nullcontext()
    elif isinstance(root, FSDPModule):
        context = _unsharded(root)
    elif any(hasattr(p, "ds_id") for p in root.parameters()):
        from deepspeed.runtime.zero import unwrap_model_for_generation

        context = unwrap_model_for_generation(model)
    else:
        context = contextlib.nullcontext()
    with context:
        outer, root._is_gathered = getattr(root, "_is_gathered", False), True
        try:
            yield root
        finally:
            root._is_gathered = outer


def load_full_state_dict(model, state_dict: Mapping[str, torch.Tensor]) -> tuple[list[str], list[str]]:
    """
    Loads whole tensors into a generator that may be sharded by FSDP2, every process the same ones.

    Args:
        model: the generator, wrapped or not.
        state_dict: whole tensors by name. Tied weights may be there once.

    Returns:
        `(missing, unexpected)`: names, as `load_state_dict(strict=False)` gives them.
    """
    root = extract_model_from_parallel(model, keep_torch_compile=False)
    if not isinstance(root, FSDPModule):
        missing, unexpected = root.load_state_dict(state_dict, strict=False)
        return list(missing), list(unexpected)
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    options = StateDictOptions(full_state_dict=True, strict=False)
    missing, unexpected = set_model_state_dict(root, dict(state_dict), options=options)
    return list(missing), list(unexpected)


def full_precision_state_dict(model, state_dict: Mapping[str, torch.Tensor] | None) -> dict[str, torch.Tensor]:
    """
    Puts the float32 weights in place of their 16-bit copies, which are all that a ZeRO model holds under `--bf16`.

    Small updates are lost in 16 bits. All processes must call this; the result counts on the main one.

    Args:
        model: the generator as accelerate has wrapped it.
        state_dict: what `Accelerator.get_state_dict` returned.
    """
    root = extract_model_from_parallel(model, keep_torch_compile=False)
    result = dict(state_dict or {})
    names: dict[torch.nn.Parameter, list[str]] = {}
    for name, parameter in root.named_parameters(remove_duplicate=False):
        # ZeRO's own mark of a parameter that it keeps in float32 elsewhere
        if hasattr(parameter, "ds_id") or hasattr(parameter, "_hp_mapping"):
            names.setdefault(parameter, []).append(name)
    for parameter, aliases in names.items():
        if parameter.dtype != torch.float32 and parameter.requires_grad:
            from deepspeed.utils import safe_get_full_fp32_param

            value = safe_get_full_fp32_param(parameter).cpu()
            result.update({name: value for name in aliases if name in result})
    return result


@contextlib.contextmanager
def _unsharded(root) -> Iterator[None]:
    """Gathers the parameters of an FSDP2 model; its hooks neither shard nor gather them until the end."""
    root._get_fsdp_state()._lazy_init()  # else done by the first forward, which changes what is kept below
    modules = [m for m in root.modules() if isinstance(m, FSDPModule)]
    groups = [group for m in modules if (group := m._get_fsdp_state()._fsdp_param_group) is not None]
    groups = list({id(group): group for group in groups}.values())  # modules with tied weights share one
    meshes = [group.post_forward_mesh_info for group in groups]
    order = groups[0].comm_ctx.post_forward_order
    passes = len(order)
    try:
        for module in modules:
            module.unshard()
        for group in groups:
            group.post_forward_mesh_info = None  # no resharding, as with `set_reshard_after_forward(False)`
        yield
    finally:
        for group, mesh in zip(groups, meshes, strict=True):
            group.post_forward_mesh_info = mesh
            # The next backward pass gathers ahead in the order of past forward passes, which here are this process's.
            group._post_forward_indices = [i for i in group._post_forward_indices if i < passes]
        del order[passes:]
        for module in modules:
            module.reshard()
