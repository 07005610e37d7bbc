"""The peaks of this machine's CPU as they were measured once, kept with what they depend on; and
those that plans and runs go by: measured ones of this CPU, stated ones of any other target.

A measurement of another CPU, of other cores, another amount of memory or another OpenVINO is never
used. `enginebench doctor --measure` measures (`harness/doctor/measure.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from build_engine.errors import EnginebenchError, EnvironmentFault
from build_engine.files import CACHE_REMEDY, cannot_write, write_json
from build_engine.libraries import installed_version
from build_engine.paths import cache_root
from build_engine.records import Record, read_record
from build_engine.roofline.costs import StepCosts
from build_engine.roofline.peaks import MeasuredSteps, Peaks, stated_peaks
from build_engine.roofline.rate import Rate
from build_engine.store.sealed import content_key
from build_engine.store.spec import SHORT_KEY_LEN
from build_engine.target import detect_cpu_compute
from build_engine.validation import Frozen, Text
from harness.machine.facts import machine_facts
from harness.machine.hardware import read_hardware

if TYPE_CHECKING:
    from build_engine.target import Target

MEASURE = "enginebench doctor --measure"
_LIBRARIES = ("openvino", "openvino-genai")
_VECTORS = re.compile(r"(avx|amx|fma|f16c|sve|asimd|bf16|i8mm)")
_PRECISIONS = {"bf16": "bf16", "f32": "fp32", "int8": "int8"}
"""How targets name the arithmetic of CPU engines."""


class Fingerprint(Frozen):
    """What a measurement depends on. `num_cpus` are those that this process may use, `cache_bytes`
    is the size of the last cache (0: the kernel does not tell).
    """

    cpu: Text
    num_cpus: PositiveInt
    memory_gib: NonNegativeFloat | None
    cache_bytes: NonNegativeInt
    arithmetic: Text
    instructions: tuple[str, ...]
    libraries: dict[str, str | None]

    @classmethod
    def here(cls) -> Fingerprint:
        """That of this machine."""
        facts = machine_facts()
        return cls(
            cpu=facts.cpu,
            num_cpus=facts.num_cpus,
            memory_gib=facts.memory_gib,
            cache_bytes=_last_cache_bytes(read_hardware().caches),
            arithmetic=detect_cpu_compute().value,
            instructions=_instructions(),
            libraries={name: installed_version(name) for name in _LIBRARIES},
        )

    @property
    def place(self) -> Path:
        """Where a measurement of such a machine is kept."""
        key = content_key(self.model_dump(mode="json"))
        return cache_root() / "peaks" / f"{key[:SHORT_KEY_LEN]}.json"


class Measurement(Frozen):
    """One figure of several: the best is what the machine can do."""

    best: PositiveFloat
    median: PositiveFloat
    worst: PositiveFloat

    @classmethod
    def of(cls, figures: list[float]) -> Measurement:
        """From all of them."""
        ranked = sorted(figures)
        return cls(best=ranked[-1], median=ranked[len(ranked) // 2], worst=ranked[0])


class Products(Frozen):
    """FLOP/s of matrix products of `rows` rows with `weights`, computed in `arithmetic` (bf16, f32,
    int8).
    """

    weights: Text
    arithmetic: Text
    rows: PositiveInt
    flops: Measurement


class MeasuredPeaks(Record):
    """What was measured: products, bytes/s read from memory, and what an engine's steps cost.
    `busy` says what else the machine did meanwhile, None for next to nothing.
    """

    SCHEMA: ClassVar[int] = 1

    fingerprint: Fingerprint
    measured_utc: Text
    products: tuple[Products, ...]
    read_bytes_per_s: Measurement
    steps: StepCosts
    busy: str | None

    @property
    def peaks(self) -> Peaks:
        """For the formulas. Weights that are as wide as the arithmetic make its peak."""
        wide = self.fingerprint.arithmetic
        plain = {
            each.arithmetic: self.rate(each.weights, each.arithmetic)
            for each in self.products
            if each.arithmetic != wide or each.weights == "bf16"
        }
        rates = {_PRECISIONS[name]: rate for name, rate in plain.items()}
        own = {each.weights for each in self.products if each.arithmetic == wide}
        beside = ", beside other work: --fresh measures anew" if self.busy else ""
        return Peaks(
            flops={name: rate.best for name, rate in rates.items()},
            bandwidth=self.read_bytes_per_s.best,
            source=f"measured on this machine on {self.measured_utc[:10]} ({MEASURE}{beside})",
            by_rows=rates,
            cache_bytes=self.fingerprint.cache_bytes,
            steps=MeasuredSteps(
                costs=self.steps,
                slowest=(self._share("worst"), _share(self.read_bytes_per_s, "worst")),
                middle=(self._share("median"), _share(self.read_bytes_per_s, "median")),
                weights={name: self.rate(name, wide) for name in own},
            ),
        )

    def rate(self, weights: str, arithmetic: str) -> Rate:
        """The best FLOP/s of one kind of products by their rows."""
        return Rate(
            tuple(
                (each.rows, each.flops.best)
                for each in sorted(self.products, key=_rows)
                if (each.weights, each.arithmetic) == (weights, arithmetic)
            )
        )

    def _share(self, name: str) -> float:
        """Of the best, over the products of most rows: few rows are over too soon to say much."""
        most = max(map(_rows, self.products))
        return min(_share(each.flops, name) for each in self.products if each.rows == most)

    def keep(self) -> Path:
        """Write it where it is looked for. Raises OutputError."""
        place = self.fingerprint.place
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_json(place, self.to_json())
        except OSError as error:
            raise cannot_write(place, error, CACHE_REMEDY) from None
        return place


def read_measured() -> MeasuredPeaks | None:
    """The measurement of this machine; None where there is none.

    Raises EnvironmentFault for a damaged one, and for one that is of another machine after all.
    """
    here = Fingerprint.here()
    remedy = f"measure anew: {MEASURE}"
    try:
        found = read_record(here.place, MeasuredPeaks, EnvironmentFault, remedy)
    except FileNotFoundError:
        return None
    if found.fingerprint != here:
        raise EnvironmentFault(f"{here.place} was measured on another machine; {remedy}.")
    return found


def measured_peaks() -> Peaks | None:
    """Peaks of this machine's CPU, None where none were measured or they cannot be read."""
    try:
        found = read_measured()
    except EnginebenchError:
        return None
    return found.peaks if found else None


def is_this_cpu(target: Target) -> bool:
    """Whether a target is the CPU of this machine, and states no peaks of another."""
    return target.kind == "cpu" and target.bandwidth_gb_s is None and not target.dense_tflops


def known_peaks(target: Target) -> Peaks | None:
    """Those that were measured of this machine, or those that the target states; None where nobody
    does.
    """
    return measured_here([target]).get(target.name) or stated_peaks(target).value


def measured_here(targets: Iterable[Target]) -> dict[str, Peaks]:
    """Measured peaks by the name of the target; none where none were measured."""
    wanted = {target.name for target in targets if is_this_cpu(target)}
    peaks = measured_peaks() if wanted else None
    return dict.fromkeys(wanted, peaks) if peaks else {}


def _rows(products: Products) -> int:
    return products.rows


def _share(measured: Measurement, name: str) -> float:
    found: float = getattr(measured, name)
    return found / measured.best


def _last_cache_bytes(caches: tuple[str, ...]) -> int:
    """Of "L3 32768K", the last."""
    found = re.search(r"(\d+)([KM])$", caches[-1]) if caches else None
    return int(found[1]) * {"K": 2**10, "M": 2**20}[found[2]] if found else 0


def _instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """The vector instructions of the first CPU."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return tuple(sorted(filter(_VECTORS.match, line[1].split()))) if line else ()
