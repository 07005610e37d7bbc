"""What a submission says of an engine that is a server's: what its user declared, called so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.runs.declared import missing

if TYPE_CHECKING:
    from harness.runs.served import Served

_SO = "as the submitter declares, and not proven by the run"


def lacking(served: Served, division: str) -> Iterator[str]:
    """Why a run of servers cannot be packed, one sentence each."""
    lacks = missing(served.declared)
    if lacks:
        yield (
            "its engine is a server's, of which only you know: run it again with --declare for "
            f"{', '.join(lacks)}."
        )
    if division == "closed":
        yield (
            "its engine is a server's, whose weights nothing proves to be the benchmark's; use "
            "--division open."
        )


def measurements(served: Served) -> dict[str, str]:
    """The fields of measurements.json, by MLPerf's names."""
    said = served.declared
    return {
        "input_data_types": "int32" if served.way.prompts == "ids" else "text",
        "retraining": f"not known ({said['checkpoint']} {_SO})",
        "starting_weights_filename": f"{said['checkpoint']}, {_SO}",
        "weight_data_types": said["precision"],
        "weight_transformations": f"{said['transformations']}, {_SO}",
    }


def calibration_description(served: Served) -> str:
    """The calibration document, in Markdown."""
    return "\n".join(
        [
            f"# Quantisation of {served.model}",
            "",
            f"By {served.engine}, {_SO}:",
            "",
            *facts(served),
            "",
        ]
    )


def facts(served: Served) -> list[str]:
    """What was declared, and what the servers said of themselves, as a list in Markdown."""
    declared = [f"- {name}: {value}" for name, value in served.declared.items()]
    said = [
        f"- Server {number}: {server.engine}, model {server.model}"
        + (f", fingerprint {server.fingerprint}" if server.fingerprint else "")
        for number, server in enumerate(served.servers, start=1)
    ]
    return [*declared, *said]
