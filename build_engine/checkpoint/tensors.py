"""Stored tensors against those that a network needs: each one is there, and none is left over.

A tensor that nothing asks for means that the config describes another model than the weights are
of, so it is refused; what is known to be harmless is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.checkpoint.safetensors_file import ITEM_BYTES
from build_engine.errors import CheckpointError

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.checkpoint.safetensors_file import StoredTensor

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
# Frequencies that old versions of transformers stored and new ones ignore (`inv_freq` in
# `PreTrainedModel` of modeling_utils.py): config.json states them.
_FREQUENCIES = re.compile(r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq")
_LAYER = re.compile(r"model\.layers\.(\d+)\.")
_SAVE_AGAIN = "load it with LlamaForCausalLM of transformers and save it again"


def check_tensors(config: LlamaConfig, stored: Mapping[str, StoredTensor], folder: Path) -> None:
    """Return when the tensors of the checkpoint in `folder` are those of `config`.

    Raises CheckpointError for one that is missing, misshapen, of an unreadable type or unused.
    """
    wanted = config.tensor_shapes
    if EMBEDDING not in stored:
        _check_prefix(stored, folder)
    for name, expected in wanted.items():
        tensor = stored.get(name)
        if tensor is None:
            raise CheckpointError(
                f"{folder} has no tensor {name}, which must have shape {list(expected)}; download "
                "the checkpoint again, or correct config.json if it describes another model."
            )
        if tensor.dtype not in ITEM_BYTES:
            raise CheckpointError(
                f"{tensor.file}: tensor {name} is stored as {tensor.dtype}, and only "
                f"{', '.join(ITEM_BYTES)} can be read; {_other_type(tensor.dtype)}."
            )
        if tensor.shape != expected:
            raise CheckpointError(
                f"{tensor.file}: tensor {name} has shape {list(tensor.shape)}, and config.json "
                f"makes it {list(expected)}; take the config.json that belongs to these weights."
            )
    _check_unused(config, stored, wanted)


def _check_prefix(stored: Mapping[str, StoredTensor], folder: Path) -> None:
    """Raise CheckpointError where the embedding has another name than a Llama's."""
    last = EMBEDDING.removeprefix("model.")
    named = next((name for name in stored if name.endswith(last)), None)
    if named == last:
        raise CheckpointError(
            f"{folder} names its tensors without `model.` ({last}), as LlamaModel alone saves "
            f"them; {_SAVE_AGAIN}."
        )
    if named is not None:
        raise CheckpointError(
            f"{folder} names its embedding {named}, and a Llama's is {EMBEDDING}; {_SAVE_AGAIN}, "
            "an adapter merged into it."
        )


def _other_type(dtype: str) -> str:
    if dtype == "F64":
        return "it is float64, so load it in bfloat16 (or float32) and save it again"
    return "take the unquantised checkpoint"


def _check_unused(
    config: LlamaConfig, stored: Mapping[str, StoredTensor], wanted: Mapping[str, object]
) -> None:
    unused = []
    for name, tensor in stored.items():
        if _FREQUENCIES.fullmatch(name):
            _check_frequencies(config, tensor)
        elif name not in wanted and not (name == HEAD and config.tie_word_embeddings):
            unused.append(name)
    if unused:
        first = unused[0]
        more = f" (and {len(unused) - 1:,} more)" if len(unused) > 1 else ""
        raise CheckpointError(
            f"{stored[first].file} holds tensor {first}{more}, for which config.json has no place; "
            f"{_remedy(first, config)}."
        )


def _remedy(name: str, config: LlamaConfig) -> str:
    layer = _LAYER.match(name)
    if layer and int(layer[1]) >= config.num_layers:
        return f"num_hidden_layers is {config.num_layers} there, so correct it if that is wrong"
    if name.endswith(".bias") and ".self_attn." in name:
        return "state `attention_bias: true` there if the model was trained with it"
    if name.endswith(".bias") and ".mlp." in name:
        return "state `mlp_bias: true` there if the model was trained with it"
    return (
        "take a plain Llama checkpoint, or remove the tensor if the model does without it "
        f"({_SAVE_AGAIN})"
    )


def _check_frequencies(config: LlamaConfig, tensor: StoredTensor) -> None:
    """Raise CheckpointError when stored rotary frequencies, which nothing reads, are not those of
    the config, to the digits that float16 has; the stored ones may be those before scaling.
    """
    import numpy as np

    expected = config.inverse_frequencies
    if tensor.dtype not in ITEM_BYTES or tensor.shape != expected.shape:
        same = False
    else:
        values = tensor.float32()
        allowed = (expected, config.plain_frequencies)
        same = any(np.allclose(values, each, rtol=1e-2, atol=1e-6) for each in allowed)
    if not same:
        raise CheckpointError(
            f"{tensor.file}: tensor {tensor.name} holds other rotary frequencies than rope_theta "
            f"{config.rope_theta:g} of config.json gives; correct the one that the model was not "
            "trained with."
        )
