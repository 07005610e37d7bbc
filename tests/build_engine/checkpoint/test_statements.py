"""A fact that a checkpoint states twice is one fact, and nothing in it is left unsaid: what
disagrees, is left over, or is no number is refused with both sides.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from build_engine.checkpoint.checkpoint import open_checkpoint
from build_engine.checkpoint.values import check_values
from build_engine.errors import CheckpointError
from tests.build_engine.checkpoints import (
    LLAMA3_ROPE,
    TinyLlama,
    random_tensors,
    write_checkpoint,
    write_weights,
)

DEFAULT = {"rope_type": "default", "rope_theta": 500_000.0}
L3 = {**LLAMA3_ROPE, "rope_theta": 10_000.0}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"rope_scaling": LLAMA3_ROPE, "rope_parameters": {"rope_type": "default"}},
            "rope_scaling is llama3 with factor 8 and rope_parameters is default; these say",
        ),
        (
            {"rope_scaling": {**LLAMA3_ROPE, "factor": 32.0}, "rope_parameters": LLAMA3_ROPE},
            "rope_scaling is llama3 with factor 32 and rope_parameters is llama3 with factor 8",
        ),
        ({"rope_parameters": DEFAULT}, "rope_theta is 500000 and rope_theta is 10000"),
        (
            {"rope_theta": None, "rope_scaling": {**L3, "rope_theta": 5.0}, "rope_parameters": L3},
            "rope_scaling.rope_theta is 5 and rope_parameters.rope_theta is 10000",
        ),
        (
            {"rope_scaling": {"type": "linear", "rope_type": "llama3", "factor": 2.0}},
            "rope_scaling.type is linear and rope_scaling.rope_type is llama3",
        ),
        ({"rope_parameters": {"full_attention": L3}}, "has `full_attention`, which rope type"),
        ({"rope_scaling": {"factor": 2.0}}, "has `factor`, which rope type default does not have"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0, "mscale": 1}}, "has `mscale`"),
        ({"rope_scaling": {"rope_type": ["linear"]}}, r"rope type \['linear'\] cannot be built"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5, and only heads"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
        ({"dtype": "bfloat16"}, "torch_dtype is float32 and dtype is bfloat16"),
        ({"head_dim": None, "num_attention_heads": 6}, "hidden_size 64 is not a multiple of"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, and must be at most"),
        ({"vocab_size": 10**12}, "vocab_size is 1000000000000, and must be at most"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes"}},
            r"quantised already \(quantization_config: bitsandbytes\); take the unquantised",
        ),
        ({"compression_config": {"format": "x"}}, "quantised already .*of no named method"),
    ],
)
def test_statements_that_disagree_are_refused_with_both(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    folder = write_checkpoint(tmp_path, config=changes)
    with pytest.raises(CheckpointError, match=told):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_scaling": LLAMA3_ROPE, "rope_parameters": L3},
        {"rope_scaling": None, "rope_parameters": {**DEFAULT, "rope_theta": 10_000}},
        {"rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 1}},
        {"dtype": "float32", "torch_dtype": "torch.float32"},
        {"partial_rotary_factor": 1.0},
        {"rope_scaling": {}, "rope_parameters": None},
    ],
)
def test_statements_that_agree_are_one(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert open_checkpoint(write_checkpoint(tmp_path, config=changes)).config.rope_theta == 10_000.0


def with_tensors(tmp_path: Path, **more: Any) -> Path:
    """A tiny checkpoint with other or further tensors, None removing one."""
    folder = write_checkpoint(tmp_path)
    tensors = {**random_tensors(TinyLlama()), **more}
    write_weights(folder, {n: v for n, v in tensors.items() if v is not None}, "F32")
    return folder


EMBEDDING = random_tensors(TinyLlama())["model.embed_tokens.weight"]
SOME: NDArray[np.float32] = np.ones(16, np.float32)
LAYER = "model.layers.0.self_attn"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (f"{LAYER}.q_proj.bias", "state `attention_bias: true` there"),
        ("model.layers.1.mlp.down_proj.bias", "state `mlp_bias: true` there"),
        ("model.layers.2.mlp.up_proj.weight", "num_hidden_layers is 2 there"),
        (f"{LAYER}.q_norm.weight", "take a plain Llama checkpoint"),
        ("v_head.summary.weight", "take a plain Llama checkpoint"),
        (f"{LAYER}.q_proj.lora_A.weight", "take a plain Llama checkpoint"),
    ],
)
def test_a_tensor_that_nothing_asks_for_is_refused(tmp_path: Path, name: str, told: str) -> None:
    folder = with_tensors(tmp_path, **{name: SOME, f"{name}_2": SOME})
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert f"holds tensor {name} (and 1 more), for which config.json has no place" in str(
        caught.value
    )
    assert told in str(caught.value)


def test_stored_frequencies_are_those_of_the_config(tmp_path: Path) -> None:
    frequencies = (10_000.0 ** -(np.arange(8) / 8)).astype(np.float16).astype(np.float32)
    names = (f"{LAYER}.rotary_emb.inv_freq", "model.rotary_emb.inv_freq")
    open_checkpoint(with_tensors(tmp_path, **dict.fromkeys(names, frequencies)))
    for wrong in (frequencies / 4, frequencies[:4]):
        folder = with_tensors(tmp_path, **{names[0]: wrong})
        with pytest.raises(CheckpointError, match="other rotary frequencies than rope_theta"):
            open_checkpoint(folder)


def test_a_tied_head_that_is_stored_must_be_the_embedding(tmp_path: Path) -> None:
    check_values(open_checkpoint(with_tensors(tmp_path, **{"lm_head.weight": EMBEDDING})))
    for head in (EMBEDDING * 2, EMBEDDING[:1], np.zeros((0,), np.float32)):
        checkpoint = open_checkpoint(with_tensors(tmp_path, **{"lm_head.weight": head}))
        with pytest.raises(
            CheckpointError, match=r"tie_word_embeddings is true, and lm_head\.weight holds other"
        ):
            check_values(checkpoint)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize(
    ("value", "told"), [(np.nan, "NaN"), (np.inf, "an infinity"), (-np.inf, "an infinity")]
)
def test_a_weight_that_is_no_number_is_named(
    tmp_path: Path, dtype: str, value: float, told: str
) -> None:
    folder = write_checkpoint(tmp_path, dtype=dtype)
    checkpoint = open_checkpoint(folder)
    check_values(checkpoint)
    tensors = random_tensors(TinyLlama(dtype=dtype))
    tensors["model.layers.1.mlp.down_proj.weight"][3, 5] = value
    write_weights(folder, tensors, dtype)
    with pytest.raises(
        CheckpointError,
        match=rf"safetensors: tensor .*down_proj\.weight holds {told} at \[3, 5]",
    ):
        check_values(checkpoint)


def test_the_largest_numbers_are_numbers(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    tensors = random_tensors(TinyLlama())
    tensors["model.norm.weight"][0] = np.finfo(np.float32).max
    write_weights(folder, tensors, "F32")
    check_values(open_checkpoint(folder))


def header_of(folder: Path) -> tuple[dict[str, Any], bytes]:
    content = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write_header(folder: Path, header: str, data: bytes) -> None:
    text = header.encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_tensors_that_overlap_or_leave_holes_are_refused(tmp_path: Path) -> None:
    """As the format's own library does."""
    folder = write_checkpoint(tmp_path)
    header, data = header_of(folder)
    last = max((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"])
    begin, end = header[last]["data_offsets"]
    for shift, told in ((-4, "overlap"), (4, "leave a hole between them")):
        moved = {**header, last: {**header[last], "data_offsets": [begin + shift, end + shift]}}
        write_header(folder, json.dumps(moved), data + bytes(4))
        with pytest.raises(CheckpointError, match=rf"and tensor {last} {told}; download"):
            open_checkpoint(folder)
    write_header(folder, json.dumps(header), data + bytes(4))
    with pytest.raises(CheckpointError, match="has 4 bytes after its last tensor; download"):
        open_checkpoint(folder)


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    header, data = header_of(folder)
    text = json.dumps(header)
    twice = text.replace('"model.norm.weight"', '"model.embed_tokens.weight"')
    write_header(folder, twice, data)
    with pytest.raises(CheckpointError, match=r"says `model\.embed_tokens\.weight` twice"):
        open_checkpoint(folder)


def test_a_shape_of_countless_axes_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    axes = ", ".join(["9223372036854775807"] * 200_000)
    entry = f'{{"a": {{"dtype": "F32", "shape": [{axes}], "data_offsets": [0, 4]}}}}'
    write_header(folder, entry, bytes(4))
    with pytest.raises(CheckpointError, match=r"broken safetensors header \(tensor a\)"):
        open_checkpoint(folder)


def test_shards_that_hold_one_tensor_twice_are_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, num_shards=2)
    first = folder / "model-00001-of-00002.safetensors"
    (folder / "model-00002-of-00002.safetensors").write_bytes(first.read_bytes())
    with pytest.raises(CheckpointError, match="both hold a tensor"):
        open_checkpoint(folder)


def test_an_index_that_names_another_shard_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, num_shards=2)
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    whole = dict(index["weight_map"])
    index["weight_map"] = {name: min(whole.values()) for name in whole} | {"x": max(whole.values())}
    path.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"index\.json names .* and it is in model-0000"):
        open_checkpoint(folder)
    index["weight_map"] = {**whole, "model.extra.weight": min(whole.values())}
    path.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"tensor model\.extra\.weight, and it is in none"):
        open_checkpoint(folder)


def test_weights_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, num_shards=2)
    write_weights(folder, random_tensors(TinyLlama()), "F32")
    with pytest.raises(CheckpointError, match="holds its weights twice"):
        open_checkpoint(folder)
    for shard in folder.glob("model-*.safetensors"):
        shard.unlink()
    assert open_checkpoint(folder).weight_files == (folder / "model.safetensors",)


@pytest.mark.parametrize(
    ("removed", "file", "told"),
    [
        ("model.safetensors", "adapter_config.json", "it holds an adapter, so merge"),
        ("model.safetensors", "llama.Q4_K_M.gguf", "it holds a GGUF file"),
        ("model.safetensors", "consolidated.00.pth", "it holds Meta's own format"),
        ("model.safetensors", "pytorch_model.bin", "it holds pickled weights"),
        ("tokenizer.json", "tokenizer.model", "it has a tokenizer.model only"),
        ("", "quantize_config.json", "quantised already: it has a quantize_config.json"),
        ("", "hf_quant_config.json", "quantised already: it has a hf_quant_config.json"),
    ],
)
def test_a_folder_of_another_format_is_told_what_it_is(
    tmp_path: Path, removed: str, file: str, told: str
) -> None:
    folder = write_checkpoint(tmp_path)
    if removed:
        (folder / removed).unlink()
    (folder / file).write_text("{}")
    with pytest.raises(CheckpointError, match=told):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("model.", "", r"names its tensors without `model\.` \(embed_tokens\.weight\), as"),
        ("model.", "language_model.model.", "names its embedding language_model.model.embed"),
        ("model.", "transformer.x.", "names its embedding transformer.x.embed_tokens.weight"),
    ],
)
def test_other_names_of_tensors_are_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    folder = write_checkpoint(tmp_path)
    tensors = random_tensors(TinyLlama())
    write_weights(folder, {new + n.removeprefix(old): v for n, v in tensors.items()}, "F32")
    with pytest.raises(CheckpointError, match=told):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("dtype", "told"),
    [
        ("F64", r"stored as F64, and only F32, F16, BF16 can be read; it is float64, so load it"),
        ("U8", "stored as U8, .* take the unquantised checkpoint"),
        ("F8_E4M3", "stored as F8_E4M3, .* take the unquantised checkpoint"),
    ],
)
def test_the_remedy_fits_the_stored_type(tmp_path: Path, dtype: str, told: str) -> None:
    folder = write_checkpoint(tmp_path)
    header, data = header_of(folder)
    header["model.norm.weight"]["dtype"] = dtype
    write_header(folder, json.dumps(header), data)
    with pytest.raises(CheckpointError, match=told):
        open_checkpoint(folder)
