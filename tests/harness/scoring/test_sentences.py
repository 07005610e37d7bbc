"""Our sentence splitter against NLTK's, and against what NLTK 3.8.1 was seen to do.

`fixtures/sentences.json` holds texts written for these tests, with the sentences that NLTK 3.8.1,
which the MLPerf reference pins, found in them with its own pickled model. The living witness is
NLTK 3.9, the last line with the rules of 3.8.1; the development extra installs it.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from harness.scoring.sentences import sent_tokenize

FIXTURE = json.loads((Path(__file__).parent / "fixtures" / "sentences.json").read_text("utf-8"))
PARAMETERS = Path(__file__).parents[3] / "harness" / "scoring" / "data" / "punkt_english"

# What meets at random in generated texts; each piece alone is a trap for a splitter.
WORDS = """
. ? ! ... .. ?! !!! - -- , ; : ' " ( ) [ ] { } * @ # & ` _ \u2014 \u201c \u201d \u2018 \u2019 \xab
\xbb 1 23. 1. .5. 10%. Mr. Dr. U.S. U.N. a.m. p.m. e.g. Inc. Corp. Jan. St. Ph.D. No. vs. etc. J. K.
i. mid-Jan. The the He He. It most both international commodities Bach said. left; Went? caf\xe9
\xc9. \xdf \u4e2d\u6587\u3002 \u0663.
"""
GAPS = (". . .", ".\n.\n.", "\n", "\n\n", "\t", "\r\n", "\xa0", "\u2028", "\x1c", "  ")
PIECES = (*WORDS.split(), *GAPS)


@pytest.fixture(scope="module")
def nltk_tokenizer() -> Any:
    """NLTK's own splitter with the English parameters."""
    import nltk
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    version = tuple(int(part) for part in nltk.__version__.split(".")[:2])
    assert version < (3, 10), "NLTK 3.10 splits by other rules; install the extra `dev`"

    def lines(name: str) -> list[str]:
        return (PARAMETERS / name).read_text("utf-8").splitlines()

    parameters = PunktParameters()
    parameters.abbrev_types = set(lines("abbrev_types.txt"))
    parameters.sent_starters = set(lines("sent_starters.txt"))
    parameters.collocations = {tuple(line.split("\t")) for line in lines("collocations.tab")}
    contexts = (line.split("\t") for line in lines("ortho_context.tab"))
    parameters.ortho_context = defaultdict(int, {word: int(bits) for word, bits in contexts})
    return PunktSentenceTokenizer(parameters)


@pytest.mark.parametrize("case", FIXTURE, ids=[repr(case["text"][:30]) for case in FIXTURE])
def test_splits_as_the_reference_did(case: dict[str, object]) -> None:
    assert sent_tokenize(str(case["text"])) == case["sentences"]


def test_splits_as_nltk_on_joined_texts(nltk_tokenizer: Any) -> None:
    """Texts of the fixture in random order, so that each meets other neighbours."""
    rng = random.Random(1)
    for joint in (" ", "", "\n", "  "):
        texts = [case["text"] for case in FIXTURE]
        rng.shuffle(texts)
        for start in range(0, len(texts), 4):
            text = joint.join(texts[start : start + 4])
            assert sent_tokenize(text) == nltk_tokenizer.tokenize(text)


def test_splits_as_nltk_on_generated_texts(nltk_tokenizer: Any) -> None:
    rng = random.Random(2)
    for _ in range(1500):
        joint = rng.choice((" ", " ", ""))
        text = joint.join(rng.choice(PIECES) for _ in range(rng.randrange(1, 25)))
        assert sent_tokenize(text) == nltk_tokenizer.tokenize(text), repr(text)


def test_parameters_are_the_recorded_ones() -> None:
    """A changed file is noticed: ORIGIN.md states the digest of each."""
    origin = (PARAMETERS / "ORIGIN.md").read_text("utf-8")
    recorded = dict(re.findall(r"^\| `(\S+)` \|.*\| `([0-9a-f]{64})` \|$", origin, re.MULTILINE))
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in PARAMETERS.iterdir()
        if path.suffix != ".md"
    }
    assert found == recorded


def test_needs_neither_nltk_nor_a_network() -> None:
    program = (
        "import socket, sys\n"
        "socket.socket = None\n"
        "from harness.scoring.sentences import sent_tokenize\n"
        "assert sent_tokenize('One. Two.') == ['One.', 'Two.']\n"
        "assert 'nltk' not in sys.modules\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
