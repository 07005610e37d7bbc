"""The generated news: the same everywhere, in disjoint sets, with facts that can be found."""

from __future__ import annotations

import hashlib
import re

import pytest

from newsbrief import PROMPT_TEMPLATE, SPLITS, article, articles
from newsbrief.topics import ASIDES, TOPICS

FIRST_64_SHA256 = {
    "train": "1ff06ccf9d57c12b8e4c9b51159d5d9c210b9665665bd5f97809a3c4fbc11c7a",
    "validation": "be2734ff1ec0bfd2dd526bbfc67f9be0b5fb3663d1e864c18fb96e7692973fca",
    "calibration": "ac4b3550c3ef5d1387f1f49f75685a6ffc20df13c102a9cab52fca77119c59e4",
}


@pytest.mark.parametrize("split", SPLITS)
def test_the_articles_are_the_same_on_every_machine(split: str) -> None:
    digest = hashlib.sha256()
    for item in articles(split, 64):
        digest.update(f"{item.id}\n{item.article}\n{item.highlights}\n".encode())
    assert digest.hexdigest() == FIRST_64_SHA256[split]


def test_an_article_does_not_depend_on_the_ones_before_it() -> None:
    assert list(articles("validation", 3, start=40)) == [
        article("validation", index) for index in (40, 41, 42)
    ]


def test_any_index_works() -> None:
    assert article("validation", 13_368).id == "validation-013368"
    assert article("train", 5_000_000).article


def test_no_article_occurs_in_two_splits_or_twice() -> None:
    texts = [item.article for split in SPLITS for item in articles(split, 1_500)]
    assert len(set(texts)) == len(texts)


def test_an_unknown_split_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'test'; choose one of train, validation, calibration"):
        article("test", 0)


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be negative, got -1"):
        article("train", -1)


def test_the_names_and_numbers_of_the_highlights_are_in_the_article() -> None:
    for item in articles("validation", 600):
        sentences = item.highlights.split("\n")
        assert len(sentences) in (2, 3)
        for sentence in sentences:
            # The first word is the template's; the remaining capitalised words are names.
            facts = re.findall(r"\d[\d,.]*\d|\d", sentence)
            facts += [word.strip(".,") for word in sentence.split()[1:] if word[0].isupper()]
            missing = [fact for fact in facts if fact not in item.article]
            assert not missing, (item, missing)


def test_the_highlights_are_worded_differently_from_the_article() -> None:
    copied = [
        line
        for item in articles("validation", 500)
        for line in item.highlights.split("\n")
        if line in item.article
    ]
    assert len(copied) < 75


def test_all_topics_appear() -> None:
    assert len(TOPICS) >= 12
    firsts = {item.highlights.split()[0] for item in articles("validation", 500)}
    assert {topic.highlights[0].split()[0] for topic in TOPICS} == firsts


def test_names_rarely_come_back() -> None:
    people = [
        match
        for item in articles("validation", 500)
        for match in re.findall(r"said ([A-Z]\w+ [A-Z]\w+)", item.article)
    ]
    assert len(people) > 300
    assert len(set(people)) > 0.98 * len(people)


def test_no_text_begins_with_a_name() -> None:
    templates = [*ASIDES]
    for topic in TOPICS:
        templates += [*topic.leads, *topic.asides, *topic.highlights]
        templates += [ending.highlight for ending in topic.endings]
    assert [template for template in templates if template.startswith("{")] == []


def test_every_slot_of_a_highlight_is_stated_by_the_sentences_it_rests_on() -> None:
    for topic in TOPICS:
        for choice in _readings(topic.leads, [fact.wordings for fact in topic.facts]):
            stated = set(re.findall(r"{(\w+)}", choice))
            for highlight in topic.highlights:
                assert set(re.findall(r"{(\w+)}", highlight)) <= stated, (topic.name, choice)
        for ending in topic.endings:
            wanted = set(re.findall(r"{(\w+)}", ending.highlight))
            for wording in ending.wordings:
                assert wanted <= set(re.findall(r"{(\w+)}", wording)), wording


def _readings(leads: tuple[str, ...], facts: list[tuple[str, ...]]) -> list[str]:
    """Texts that use the n-th wording of each; together they use every wording."""
    groups = [leads, *facts]
    return [" ".join(group[n % len(group)] for group in groups) for n in range(3)]


def test_the_prompt_holds_the_article() -> None:
    assert PROMPT_TEMPLATE.format(article="News.") == "Article:\nNews.\n\nSummary:\n"
