"""Whether a system description is of what ran: names are written in many ways, so only what cannot
be one thing counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_MAKERS = {"amd", "intel", "nvidia", "ampere", "apple", "aws", "ibm"}
# numbers that do not tell a model: clock, cores, count, memory
_NOT_THE_MODEL = re.compile(
    r"@.*|\b\d+[- ]?cores?\b|\b\d+x\b|\b\d+ ?gi?b\b|\bhbm\w*|\((r|tm)\)", re.IGNORECASE
)


def contradictions(
    said: Mapping[str, str], found: Mapping[str, str], *, on_gpu: bool
) -> Iterator[str]:
    """The fields in which a person's description cannot be of what the run found.

    What nobody said, or the run did not find, contradicts nothing; GPUs count where one ran.
    """
    rules = {"host_processor_model_name": _same_model, "framework": _same_version}
    if on_gpu:
        rules |= {"accelerator_model_name": _same_model, "accelerators_per_node": _no_more}
    for key, agree in rules.items():
        if said.get(key) and found.get(key) and not agree(said[key], found[key]):
            yield key


def _same_model(said: str, found: str) -> bool:
    """Two names of a processor or GPU: no other maker, and no other model number."""
    ours, other = _words(said), _words(found)
    return all(
        not one or not another or one & another
        for one, another in ((ours & _MAKERS, other & _MAKERS), (_numbered(ours), _numbered(other)))
    )


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", _NOT_THE_MODEL.sub(" ", name).lower()))


def _numbered(words: set[str]) -> set[str]:
    return {word for word in words if any(letter.isdigit() for letter in word)}


def _same_version(said: str, found: str) -> bool:
    """One of the versions that are named begins the one that ran: 2026.4 is 2026.4.1.0."""
    versions = re.findall(r"\d+(?:\.\d+)+", said)
    ran = re.findall(r"\d+(?:\.\d+)+", found)
    return not versions or not ran or any(f"{ran[0]}.".startswith(f"{v}.") for v in versions)


def _no_more(said: str, found: str) -> bool:
    """A result may be of a part of a machine's GPUs."""
    return not (said.isdigit() and found.isdigit()) or 0 < int(said) <= int(found)
