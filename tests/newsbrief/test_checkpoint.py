"""The bundled checkpoint: complete, small, of the promised shape, and as good as promised."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from tokenizers import Tokenizer

from newsbrief import CHECKPOINT, PROMPT_TEMPLATE, articles

MAX_BYTES = 20_000_000


def _json(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CHECKPOINT / name).read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(CHECKPOINT / "tokenizer.json"))


def test_the_folder_is_complete_and_small() -> None:
    files = {path.name: path.stat().st_size for path in CHECKPOINT.iterdir()}
    assert set(files) == {
        "RECIPE.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }
    assert sum(files.values()) <= MAX_BYTES


def test_the_config_describes_a_small_llama_with_stretched_rope() -> None:
    config = _json("config.json")
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["rope_scaling"] == {
        "rope_type": "llama3",
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 512,
    }
    assert config["max_position_embeddings"] == 2_048
    assert config["tie_word_embeddings"] is True
    widths = [
        config["hidden_size"],
        config["intermediate_size"],
        config["num_attention_heads"] * config["head_dim"],
    ]
    assert [width % 128 for width in widths] == [0, 0, 0]  # INT4 groups of 128 fit


def test_the_weights_are_bfloat16_and_match_the_config() -> None:
    config = _json("config.json")
    with (CHECKPOINT / "model.safetensors").open("rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_bytes))
    del header["__metadata__"]
    assert {entry["dtype"] for entry in header.values()} == {"BF16"}
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    assert len(header) == 9 * layers + 2  # tied: no separate output matrix
    assert header["model.embed_tokens.weight"]["shape"] == [config["vocab_size"], hidden]
    kv_width = config["num_key_value_heads"] * config["head_dim"]
    last = f"model.layers.{layers - 1}"
    assert header[f"{last}.self_attn.k_proj.weight"]["shape"] == [kv_width, hidden]
    down = header[f"{last}.mlp.down_proj.weight"]["shape"]
    assert down == [hidden, config["intermediate_size"]]


def test_the_tokenizer_adds_one_bos_and_gives_the_text_back(tokenizer: Tokenizer) -> None:
    config, tokenizer_config = _json("config.json"), _json("tokenizer_config.json")
    bos, eos = tokenizer_config["bos_token"], tokenizer_config["eos_token"]
    assert tokenizer.token_to_id(bos) == config["bos_token_id"]
    assert tokenizer.token_to_id(eos) == config["eos_token_id"]
    assert tokenizer.get_vocab_size() == config["vocab_size"]
    assert tokenizer_config["clean_up_tokenization_spaces"] is False
    for item in articles("validation", 50):
        for text in (PROMPT_TEMPLATE.format(article=item.article), item.highlights):
            ids = tokenizer.encode(text).ids
            assert ids.count(config["bos_token_id"]) == 1
            assert ids[0] == config["bos_token_id"]
            assert tokenizer.decode(ids) == text


def test_the_tokenizer_takes_text_it_has_never_seen(tokenizer: Tokenizer) -> None:
    text = "Caf\u00e9 \u2014 \U0001f600\t\u4e2d\n\n  end "
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_articles_have_120_to_450_tokens(tokenizer: Tokenizer) -> None:
    for split in ("train", "validation", "calibration"):
        texts = [item.article for item in articles(split, 200)]
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
        lengths = [len(encoding.ids) for encoding in encoded]
        assert min(lengths) >= 120
        assert max(lengths) <= 450


def test_the_recorded_rouge_meets_the_goal() -> None:
    record = _json("training.json")
    measured = record["evaluation"]
    assert measured["split"] == "validation"
    assert measured["num_articles"] >= 500
    assert measured["rouge"]["rouge1"] >= 60
    assert measured["rouge"]["rougeL"] >= 50


def test_the_record_belongs_to_these_weights() -> None:
    import hashlib

    record = _json("training.json")
    weights = (CHECKPOINT / "model.safetensors").read_bytes()
    assert record["weights_sha256"] == hashlib.sha256(weights).hexdigest()
