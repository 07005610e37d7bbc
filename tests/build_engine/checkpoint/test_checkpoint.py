"""A checkpoint is proven complete before it is used, and every fault is named with its remedy."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build_engine import digest
from build_engine.checkpoint.checkpoint import open_checkpoint
from build_engine.checkpoint.files import COMPANION_FILES
from build_engine.checkpoint.rope import RopeScaling
from build_engine.errors import CheckpointError
from tests.build_engine.checkpoints import (
    HF_UNTIED,
    LLAMA3_ROPE,
    TinyLlama,
    random_tensors,
    write_checkpoint,
    write_weights,
)


def rewrite_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def test_folder_is_read(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", HF_UNTIED)
    checkpoint = open_checkpoint(folder)
    config = checkpoint.config
    assert (checkpoint.name, checkpoint.folder) == ("tiny", folder)
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (6, 2, 16)
    assert config.rope_scaling == RopeScaling("llama3", 8.0, 1.0, 4.0, 64)
    assert (config.rope_theta, config.eos_token_ids) == (500_000.0, (2,))


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("num_shards", [1, 3])
def test_values_are_exact_in_every_type(tmp_path: Path, dtype: str, num_shards: int) -> None:
    spec = TinyLlama(dtype=dtype, num_shards=num_shards)
    tensors = open_checkpoint(write_checkpoint(tmp_path, spec)).tensors()
    for name, values in random_tensors(spec).items():
        assert np.array_equal(tensors[name].float32(), values), name


def test_the_library_reads_what_the_helper_writes(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    spec = TinyLlama(dtype="F16")
    loaded = load_file(write_checkpoint(tmp_path, spec) / "model.safetensors")
    for name, values in random_tensors(spec).items():
        assert np.array_equal(loaded[name].astype(np.float32), values), name


def test_transformers_5_spelling_of_rope(tmp_path: Path) -> None:
    old = write_checkpoint(tmp_path / "old", rope=LLAMA3_ROPE, rope_theta=500_000.0)
    new = write_checkpoint(
        tmp_path / "new",
        config={
            "rope_theta": None,
            "rope_scaling": None,
            "rope_parameters": {**LLAMA3_ROPE, "rope_theta": 500_000.0},
        },
    )
    assert open_checkpoint(new).config == open_checkpoint(old).config


def test_plain_rope_is_no_scaling(tmp_path: Path) -> None:
    rope = {"rope_type": "default", "rope_theta": 123.0}
    changes = {"rope_theta": None, "rope_parameters": rope}
    folder = write_checkpoint(tmp_path, config=changes)
    config = open_checkpoint(folder).config
    assert (config.rope_theta, config.rope_scaling) == (123.0, None)


def test_linear_rope_divides_every_frequency(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, rope={"type": "linear", "factor": 4.0})
    frequencies = open_checkpoint(folder).config.inverse_frequencies
    np.testing.assert_allclose(frequencies, 10_000.0 ** -(np.arange(8) / 8) / 4, rtol=1e-6)


def test_generation_config_decides_the_stop_ids(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "generation_config.json").write_text('{"eos_token_id": [5, 6]}')
    assert open_checkpoint(folder).config.eos_token_ids == (5, 6)
    (folder / "generation_config.json").unlink()
    assert open_checkpoint(folder).config.eos_token_ids == (2,)


@pytest.mark.parametrize("eos", ["x", -1, 96, [2, 96], [True]])
def test_a_stop_id_that_is_no_token(tmp_path: Path, eos: object) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}))
    told = r"generation_config\.json: eos_token_id is .*, and must be an id below 96"
    with pytest.raises(CheckpointError, match=told):
        open_checkpoint(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_file_is_named(tmp_path: Path, file: str) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=rf"lacks {file}.*download"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [("{", "is not valid JSON"), ("[]", "is not a JSON object"), ("[" * 100_000, "is not valid")],
)
@pytest.mark.parametrize("name", COMPANION_FILES)
def test_a_broken_file_is_named(tmp_path: Path, name: str, raw: str, fault: str) -> None:
    folder = write_checkpoint(tmp_path)
    (folder / name).write_text(raw)
    with pytest.raises(CheckpointError, match=rf"{name} {fault}.*download"):
        open_checkpoint(folder)


@pytest.mark.parametrize("kept", [4, 100, -1])
def test_truncated_weights(tmp_path: Path, kept: int) -> None:
    folder = write_checkpoint(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated.*download"):
        open_checkpoint(folder)


BROKEN_ENTRY = r"broken safetensors header \(tensor a\)"


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (b"not json", "broken safetensors header"),
        (b'{"a": {"dtype": "F32", "shape": [2]}}', "broken safetensors header"),
        (b'{"a": {"dtype": "F32", "shape": "2", "data_offsets": [0, 4]}}', BROKEN_ENTRY),
        (
            b'{"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}',
            BROKEN_ENTRY,
        ),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}', "broken"),
        (
            b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}',
            BROKEN_ENTRY,
        ),
        (
            b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
            "tensor a has 4 bytes, which is not its shape",
        ),
    ],
)
def test_broken_header(tmp_path: Path, header: bytes, fault: str) -> None:
    folder = write_checkpoint(tmp_path)
    data = len(header).to_bytes(8, "little") + header + bytes(4)
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"{fault}.*download"):
        open_checkpoint(folder)


def test_shard_of_the_index_is_missing(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, num_shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model-00002-of-00003.*download"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "raw",
    ["{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "../b"}}'],
)
def test_index_without_weight_map(tmp_path: Path, raw: str) -> None:
    folder = write_checkpoint(tmp_path, num_shards=2)
    (folder / "model.safetensors.index.json").write_text(raw)
    with pytest.raises(CheckpointError, match="has no weight_map"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"architectures": ["MistralForCausalLM"], "model_type": "mistral"},
            r"MistralForCausalLM \(model_type mistral\).*only LlamaForCausalLM",
        ),
        ({"architectures": None}, "architecture is not named"),
        ({"architectures": [7]}, r"architecture is 7 \("),
        ({"rope_scaling": ["linear"]}, r"rope_scaling is \['linear'\], and must be an object"),
        ({"hidden_act": "gelu"}, "hidden_act is gelu"),
        ({"hidden_size": None}, "hidden_size is missing, and must be a positive integer"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers is '2'"),
        ({"num_key_value_heads": 3}, "num_attention_heads 4 is not a multiple"),
        ({"head_dim": 15}, "head_dim 15 is odd"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0"),
        ({"rms_norm_eps": float("nan")}, "config.json holds NaN, which is not JSON"),
        ({"rope_theta": float("inf")}, "config.json holds Infinity, which is not JSON"),
        ({"rope_theta": 10**400}, "rope_theta is 1000"),
        ({"tie_word_embeddings": "false"}, "tie_word_embeddings is 'false', and must be true or"),
        ({"rope_theta": "big"}, "rope_theta is 'big'"),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
            "rope type yarn cannot be built.*default, linear, llama3",
        ),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor is missing"),
        (
            {"rope_scaling": {**LLAMA3_ROPE, "high_freq_factor": 1.0}},
            "high_freq_factor 1.0 must be greater than low_freq_factor 1.0",
        ),
    ],
)
def test_config_that_cannot_be_built(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    folder = write_checkpoint(tmp_path)
    rewrite_config(folder, **changes)
    with pytest.raises(CheckpointError, match=fault):
        open_checkpoint(folder)


def test_missing_tensor_is_named_with_its_shape(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    tensors = random_tensors(TinyLlama())
    del tensors["model.layers.1.mlp.down_proj.weight"]
    write_weights(folder, tensors, "F32")
    with pytest.raises(
        CheckpointError, match=r"no tensor model\.layers\.1\.mlp\.down_proj.*64, 128"
    ):
        open_checkpoint(folder)


def test_untied_head_must_be_there(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    rewrite_config(folder, tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match=r"no tensor lm_head\.weight"):
        open_checkpoint(folder)


def test_misshapen_tensor_is_named_with_both_shapes(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    rewrite_config(folder, vocab_size=100)
    with pytest.raises(
        CheckpointError, match=r"embed_tokens\.weight has shape \[96, 64\].*\[100, 64\]"
    ):
        open_checkpoint(folder)


def test_unreadable_type_is_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content.replace(b'"dtype": "F32"', b'"dtype": "I32"', 1))
    with pytest.raises(CheckpointError, match="is stored as I32, and only F32, F16, BF16"):
        open_checkpoint(folder)


def test_digest_follows_content_not_place(tmp_path: Path) -> None:
    one = open_checkpoint(write_checkpoint(tmp_path / "one"))
    same = open_checkpoint(write_checkpoint(tmp_path / "same"))
    other = open_checkpoint(write_checkpoint(tmp_path / "other", seed=1))
    assert one.digest == same.digest != other.digest
    rewrite_config(same.folder, rms_norm_eps=1e-6)
    assert open_checkpoint(same.folder).digest != one.digest


@pytest.mark.parametrize("name", COMPANION_FILES)
def test_digest_covers_what_an_engine_takes_along(tmp_path: Path, name: str) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path))
    before = checkpoint.digest
    file = checkpoint.folder / name
    file.write_text((file.read_text() if file.is_file() else "{}") + "\n")
    assert checkpoint.digest != before


def test_digest_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path / "tiny"))
    before = checkpoint.digest

    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} was hashed again")

    monkeypatch.setattr(digest, "hash_file", refuse)
    assert checkpoint.digest == before
    weights = checkpoint.folder / "model.safetensors"
    weights.touch()
    with pytest.raises(AssertionError, match=r"model\.safetensors was hashed again"):
        _ = checkpoint.digest


def test_broken_digest_cache_is_ignored(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path / "tiny"))
    before = checkpoint.digest
    entries = list((tmp_path / "home" / "digests").iterdir())
    assert len(entries) == 1 + len(checkpoint.companions)
    for entry in entries:
        entry.write_text("{")
    assert checkpoint.digest == before


@pytest.mark.parametrize("name", ["generation_config.json", "chat_template.jinja"])
@pytest.mark.parametrize("target", [None, "/dev/zero", "nowhere"])
def test_what_is_no_file_is_not_taken_for_absent(
    tmp_path: Path, name: str, target: str | None
) -> None:
    file = write_checkpoint(tmp_path / "model") / name
    file.unlink(missing_ok=True)
    os.mkfifo(file) if target is None else file.symlink_to(target)
    with pytest.raises(CheckpointError, match=rf"{name} is no file, or a link to none; remove it"):
        open_checkpoint(tmp_path / "model")
