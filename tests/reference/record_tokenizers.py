"""Record what AutoTokenizer of Hugging Face transformers 4.57 makes of checkpoint folders whose
files disagree: prompt ids, texts, and the prompts of chat templates.

    python -m tests.reference.record_tokenizers

needs `transformers` and writes `tokenizers.json` beside this file; the tests need only that.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.build_engine.checkpoint.tokenizer_folders import (
    CHAT_TEMPLATES,
    CONFIGS,
    SAID,
    TEXTS,
    write_folder,
)

RECORD = Path(__file__).with_name("tokenizers.json")
TODAY = "26 Jul 2024"


def main() -> None:
    """Write the record."""
    import transformers
    from transformers import AutoTokenizer

    encoded: list[dict[str, Any]] = []
    for name, marked, bos in itertools.product(CONFIGS, (True, False), (True, False)):
        with tempfile.TemporaryDirectory() as folder:
            write_folder(Path(folder), name, marked=marked, bos=bos)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            ids = [tokenizer(text)["input_ids"] for text in TEXTS]
            texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        encoded.append({"config": name, "marked": marked, "bos": bos, "ids": ids, "texts": texts})
    chats: list[dict[str, Any]] = []
    for name in CHAT_TEMPLATES:
        with tempfile.TemporaryDirectory() as folder:
            write_folder(Path(folder), "llama", chat=name)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            for said in SAID:
                message = [{"role": "user", "content": said}]
                options = {"add_generation_prompt": True, "date_string": TODAY}
                text = tokenizer.apply_chat_template(message, tokenize=False, **options)
                ids = tokenizer.apply_chat_template(message, **options)
                chats.append({"template": name, "said": said, "text": text, "ids": list(ids)})
    record = {"transformers": transformers.__version__, "encoded": encoded, "chats": chats}
    RECORD.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
