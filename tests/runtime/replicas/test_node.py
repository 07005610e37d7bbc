"""The leash of a node: what is read from it, and when it ends."""

from __future__ import annotations

import os

from runtime.replicas.node import Leash


def test_secrets_are_read_to_the_letter_and_nothing_after_them() -> None:
    reads, writes = os.pipe()
    os.write(writes, b"ray token\nhf\nlost\n")
    assert Leash(reads).secrets() == {"RAY_AUTH_TOKEN": "ray token", "HF_TOKEN": "hf"}
    assert os.read(reads, 10) == b"lost\n"
    os.close(reads)
    os.close(writes)
