"""Record what Hugging Face transformers answers, in float32, for the tests to compare engines with.

Run it in an environment with PyTorch and transformers, which the project itself does not need:

    python -m tests.reference.record_hf random      writes tests/reference/random_llama.json
    python -m tests.reference.record_hf newsbrief   writes tests/reference/newsbrief.json

Each file holds the versions, the digest of the weights, the greedy answers, and `min_margin`: the
smallest distance between the best and the second-best logit anywhere, which says how near the
answers are to a tie. `random` also records logits and rotary frequencies, so that a difference can
be found before a token differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from newsbrief import CHECKPOINT, PROMPT_TEMPLATE, articles
from tests.build_engine.checkpoints import HF_UNTIED, write_checkpoint

HERE = Path(__file__).parent
RANDOM_PROMPT_LENGTHS = (1, 2, 7, 33, 64, 150)
RANDOM_NEW_TOKENS = 24
NEWSBRIEF_PROMPTS = 200
NEWSBRIEF_NEW_TOKENS = 128


def random_prompts() -> list[list[int]]:
    """Prompts of fixed lengths; the longest exceeds the range in which llama3 rope is unscaled."""
    rng = np.random.default_rng(11)
    return [rng.integers(3, HF_UNTIED.vocab_size, n).tolist() for n in RANDOM_PROMPT_LENGTHS]


def record_random() -> dict[str, Any]:
    """Answers of the random checkpoint `HF_UNTIED`, each of full length."""
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), HF_UNTIED)
        header = _header(Path(folder))
        model = _load(Path(folder))
        prompts = random_prompts()
        answers, margin = _answers(model, prompts, RANDOM_NEW_TOKENS, None)
        with torch.inference_mode():
            logits = model(torch.tensor([prompts[-1]])).logits[0, -1]
        return {
            **header,
            "min_margin": margin,
            "inverse_frequencies": model.model.rotary_emb.inv_freq.tolist(),
            "last_logits": logits.tolist(),
            "prompts": prompts,
            "answers": answers,
        }


def record_newsbrief() -> dict[str, Any]:
    """Answers of the bundled checkpoint for validation articles, up to the end of text."""
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(CHECKPOINT / "tokenizer.json")
    )
    header = _header(CHECKPOINT)
    model = _load(CHECKPOINT)
    prompts = [
        tokenizer.encode(PROMPT_TEMPLATE.format(article=article.article))
        for article in articles("validation", NEWSBRIEF_PROMPTS)
    ]
    stop_id = model.generation_config.eos_token_id
    answers, margin = _answers(model, prompts, NEWSBRIEF_NEW_TOKENS, stop_id)
    return {
        **header,
        "min_margin": margin,
        "prompts_sha256": hashlib.sha256(json.dumps(prompts).encode()).hexdigest(),
        "answers": answers,
    }


def _load(folder: Path) -> Any:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def _header(folder: Path) -> dict[str, Any]:
    weights = (folder / "model.safetensors").read_bytes()
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }


def _answers(
    model: Any, prompts: list[list[int]], max_new_tokens: int, stop_id: int | None
) -> tuple[list[list[int]], float]:
    """One prompt at a time: batches would pad. Without `stop_id` every answer has full length."""
    model.generation_config.eos_token_id = stop_id
    answers, margins = [], []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            output = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=max_new_tokens,
                return_dict_in_generate=True,
                output_logits=True,
            )
        answers.append(output.sequences[0, len(prompt) :].tolist())
        best = torch.cat(output.logits).topk(2).values
        margins.append((best[:, 0] - best[:, 1]).min().item())
    return answers, min(margins)


RECORDERS: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "random": ("random_llama.json", record_random),
    "newsbrief": ("newsbrief.json", record_newsbrief),
}


def main() -> None:
    """Write the named fixture beside this file."""
    torch.set_num_threads(1)  # layers this small lose more to waiting threads than they gain
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=RECORDERS)
    file, record = RECORDERS[parser.parse_args().which]
    # One line per top-level field and per answer keeps the file small and its differences readable.
    text = json.dumps(record()).replace("], [", "],\n[").replace(', "', ',\n"')
    (HERE / file).write_text(text + "\n")


if __name__ == "__main__":
    main()
