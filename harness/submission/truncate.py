"""Accuracy logs as a submission wants them: both ends of the file, and the digest of the whole.

Source of the form: `tools/submission/truncate_accuracy_log.py` of mlcommons/inference.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from build_engine.files import read_lossy
from harness.loadgen.logs import CUT, read_log

_END_BYTES = 4096
_HASH = re.compile(r"^hash=(\w+)$", re.MULTILINE)


def truncate(log: Path, accuracy_txt: Path, keep_at: Path) -> None:
    """Copy the log to `keep_at`, then cut it, and write its digest into accuracy.txt."""
    content = read_log(log)
    keep_at.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(log, keep_at)
    text = read_lossy(accuracy_txt).rstrip("\n")
    digest = hashlib.sha256(content).hexdigest()
    accuracy_txt.write_text(f"{text}\n\nhash={digest}\n", encoding="utf-8")
    if len(content) >= _END_BYTES:
        log.write_bytes(content[:_END_BYTES] + CUT + content[-_END_BYTES:])


def recorded_hash(accuracy_txt: str) -> str | None:
    """The digest that an accuracy.txt gives for its log."""
    found = _HASH.search(accuracy_txt)
    return found.group(1) if found else None
