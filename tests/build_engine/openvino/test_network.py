"""The OpenVINO graph computes Llama: against a plain numpy Llama, and against transformers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray

from build_engine.checkpoint.architecture import LlamaConfig
from build_engine.checkpoint.checkpoint import open_checkpoint
from build_engine.openvino.network import build_network
from newsbrief import CHECKPOINT, PROMPT_TEMPLATE, articles
from tests.build_engine.checkpoints import HF_UNTIED, LLAMA3_ROPE, write_checkpoint
from tests.build_engine.generation import F32, generate, graph_inputs

REFERENCE = Path(__file__).parents[2] / "reference"
PROMPT = np.array([[5, 17, 80, 3, 44, 61, 9, 23]])

Floats = NDArray[np.float64]
Weights = Mapping[str, Floats]


def numpy_logits(
    config: LlamaConfig,
    weights: Weights,
    ids: NDArray[np.int64],
    other_linear: Callable[[Floats, str], Floats] | None = None,
    cached: Callable[[Floats, str], Floats] = lambda values, name: values,
) -> Floats:
    """Logits [length, vocabulary] of one prompt, written from the papers in float64. Linear layers
    and what the cache holds of keys (turned) and values may be computed otherwise.
    """
    length, dim = len(ids), config.head_dim
    angles = np.arange(length)[:, None] * config.inverse_frequencies.astype(np.float64)
    turn = np.concatenate([angles, angles], 1)

    def norm(x: Floats, name: str) -> Floats:
        scale = np.sqrt((x * x).mean(-1, keepdims=True) + config.rms_norm_eps)
        return np.asarray(x / scale * weights[f"{name}.weight"])

    def linear(x: Floats, name: str) -> Floats:
        if other_linear is not None:
            return other_linear(x, name)
        return np.asarray(x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0))

    def rotate(x: Floats) -> Floats:
        swapped = np.concatenate([-x[:, dim // 2 :], x[:, : dim // 2]], 1)
        return np.asarray(x * np.cos(turn) + swapped * np.sin(turn))

    def attention(x: Floats, name: str) -> Floats:
        q, k, v = (linear(x, f"{name}.{part}_proj") for part in "qkv")
        heads = []
        for head in range(config.num_heads):
            kv = head * config.num_kv_heads // config.num_heads
            query = rotate(q[:, head * dim :][:, :dim])
            key = cached(rotate(k[:, kv * dim :][:, :dim]), name)
            scores = query @ key.T / np.sqrt(dim)
            scores[np.triu_indices(length, 1)] = -np.inf
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(
                shares / shares.sum(-1, keepdims=True) @ cached(v[:, kv * dim :][:, :dim], name)
            )
        return linear(np.concatenate(heads, 1), f"{name}.o_proj")

    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}"
        x = x + attention(norm(x, f"{prefix}.input_layernorm"), f"{prefix}.self_attn")
        y = norm(x, f"{prefix}.post_attention_layernorm")
        gate = linear(y, f"{prefix}.mlp.gate_proj")
        inner = gate / (1 + np.exp(-gate)) * linear(y, f"{prefix}.mlp.up_proj")
        x = x + linear(inner, f"{prefix}.mlp.down_proj")
    head = "model.embed_tokens" if config.tie_word_embeddings else "lm_head"
    return np.asarray(norm(x, "model.norm") @ weights[f"{head}.weight"].T)


def compiled(folder: Path) -> ov.InferRequest:
    checkpoint = open_checkpoint(folder)
    network = build_network(checkpoint.config, checkpoint.tensors())
    return ov.Core().compile_model(network, "CPU", F32).create_infer_request()


def expected(folder: Path, ids: NDArray[np.int64]) -> Floats:
    checkpoint = open_checkpoint(folder)
    weights = {k: t.float32().astype(np.float64) for k, t in checkpoint.tensors().items()}
    return numpy_logits(checkpoint.config, weights, ids)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="tied"),
        pytest.param({"tied": False, "num_heads": 6}, id="untied-groups-of-3"),
        pytest.param({"num_kv_heads": 4}, id="no-groups"),
        pytest.param({"head_dim": 32}, id="heads-wider-than-hidden"),
        pytest.param({"attention_bias": True, "mlp_bias": True}, id="biases"),
        pytest.param({"dtype": "F16", "num_shards": 3}, id="f16-sharded"),
        pytest.param({"dtype": "BF16"}, id="bf16"),
        pytest.param({"rope": LLAMA3_ROPE}, id="llama3-rope"),
        pytest.param({"rope": {"type": "linear", "factor": 2.0}}, id="linear-rope"),
    ],
)
def test_logits_are_those_of_llama(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = write_checkpoint(tmp_path, **changes)
    logits = compiled(folder).infer(graph_inputs(PROMPT))["logits"][0]
    np.testing.assert_allclose(logits, expected(folder, PROMPT[0]), rtol=1e-4, atol=1e-4)


def test_layers_of_one_input_may_be_stored_in_unlike_types(tmp_path: Path) -> None:
    wide = open_checkpoint(write_checkpoint(tmp_path / "wide"))
    narrow = open_checkpoint(write_checkpoint(tmp_path / "narrow", dtype="BF16")).tensors()
    name = "model.layers.0.self_attn.k_proj.weight"
    tensors = {**wide.tensors(), name: narrow[name]}
    network = ov.Core().compile_model(build_network(wide.config, tensors), "CPU", F32)
    weights = {k: tensor.float32().astype(np.float64) for k, tensor in tensors.items()}
    logits = network(graph_inputs(PROMPT))["logits"][0]
    awaited = numpy_logits(wide.config, weights, PROMPT[0])
    np.testing.assert_allclose(logits, awaited, rtol=1e-4, atol=1e-4)


def test_cache_continues_where_it_stopped(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    request = compiled(folder)
    request.infer(graph_inputs(PROMPT[:, :5]))
    logits = request.infer(graph_inputs(PROMPT[:, 5:], num_past=5))["logits"][0]
    np.testing.assert_allclose(logits, expected(folder, PROMPT[0])[5:], rtol=1e-4, atol=1e-4)


def test_cache_follows_beam_idx(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    request = compiled(folder)
    other = PROMPT[:, ::-1]
    request.infer(graph_inputs(np.concatenate([PROMPT, other])[:, :5]))
    inputs = graph_inputs(np.concatenate([other, PROMPT])[:, 5:], num_past=5)
    swapped = inputs | {"beam_idx": np.array([1, 0], np.int32)}
    logits = request.infer(swapped)["logits"]
    np.testing.assert_allclose(logits[0], expected(folder, other[0])[5:], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(logits[1], expected(folder, PROMPT[0])[5:], rtol=1e-4, atol=1e-4)


def test_masked_positions_are_not_seen(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    inputs = graph_inputs(np.concatenate([[[7, 7]], PROMPT], 1))
    inputs["attention_mask"][:, :2] = 0
    inputs["position_ids"] = np.maximum(inputs["position_ids"] - 2, 0)
    logits = compiled(folder).infer(inputs)["logits"][0, 2:]
    np.testing.assert_allclose(logits, expected(folder, PROMPT[0]), rtol=1e-4, atol=1e-4)


def test_stored_weights_are_kept_bit_for_bit(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, dtype="BF16"))
    network = build_network(checkpoint.config, checkpoint.tensors())
    name = "model.layers.1.mlp.up_proj.weight"
    [constant] = [op for op in network.get_ops() if op.get_friendly_name() == name]
    assert constant.get_element_type() == ov.Type.bf16
    assert np.array_equal(constant.data.view(np.uint16), checkpoint.tensors()[name].raw())


def saved_engine(folder: Path, checkpoint_folder: Path) -> Path:
    checkpoint = open_checkpoint(checkpoint_folder)
    network = build_network(checkpoint.config, checkpoint.tensors())
    ov.save_model(network, str(folder / "openvino_model.xml"), compress_to_fp16=False)
    return folder


def recorded(file: str, weights: Path) -> dict[str, Any]:
    """The fixture, which must have been recorded with these very weights."""
    fixture: dict[str, Any] = json.loads((REFERENCE / file).read_text())
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert fixture["weights_sha256"] == digest, (
        "the weights changed: run tests/reference/record_hf.py"
    )
    return fixture


def test_answers_of_a_random_llama_equal_transformers(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", HF_UNTIED)
    fixture = recorded("random_llama.json", folder / "model.safetensors")
    config = open_checkpoint(folder).config
    np.testing.assert_allclose(
        config.inverse_frequencies, fixture["inverse_frequencies"], rtol=1e-6
    )
    logits = compiled(folder).infer(graph_inputs(np.array(fixture["prompts"][-1:])))["logits"]
    np.testing.assert_allclose(
        logits[0, -1], fixture["last_logits"], atol=fixture["min_margin"] / 4
    )
    engine = saved_engine(tmp_path, folder)
    assert generate(engine, fixture["prompts"], len(fixture["answers"][0])) == fixture["answers"]


def test_the_cpu_plugin_recognises_norms_and_rotary_embeddings(tmp_path: Path) -> None:
    """Fused, they are fast; and of a fused embedding the plugin keeps the angles in float32 even
    in bf16 (openvino, mark_rope_input_to_keep_in_mixed_precision.cpp).
    """
    checkpoint = open_checkpoint(write_checkpoint(tmp_path / "tiny", rope=LLAMA3_ROPE))
    network = build_network(checkpoint.config, checkpoint.tensors())
    executed = ov.Core().compile_model(network, "CPU", F32).get_runtime_model()
    kinds = [op.get_rt_info()["layerType"].astype(str) for op in executed.get_ops()]
    assert kinds.count("RoPE") == 4  # queries and keys of two layers
    assert kinds.count("RMS") == 5


def test_200_answers_of_newsbrief_equal_transformers(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    fixture = recorded("newsbrief.json", CHECKPOINT / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(CHECKPOINT / "tokenizer.json"))
    prompts = [
        tokenizer.encode(PROMPT_TEMPLATE.format(article=article.article)).ids
        for article in articles("validation", len(fixture["answers"]))
    ]
    assert hashlib.sha256(json.dumps(prompts).encode()).hexdigest() == fixture["prompts_sha256"]
    [stop_id] = open_checkpoint(CHECKPOINT).config.eos_token_ids
    engine = saved_engine(tmp_path, CHECKPOINT)
    assert len(prompts) == 200
    assert generate(engine, prompts, 128, stop_id) == fixture["answers"]
