"""Workloads: what is asked of an engine, and by which rules its answers are judged.

Prompt, output limits, sample counts, latency limits and accuracy gates of one benchmark, as data.
The workloads that carry a `benchmark` follow MLPerf Inference to the letter; the others never
produce an official result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from build_engine.config import Frozen, Name, Text, config_names, load_config
from build_engine.errors import UnknownName

Scenario = Literal["Offline", "Server", "Interactive", "SingleStream"]

PLACEHOLDER = "{article}"
Metric = Literal["rouge1", "rouge2", "rougeL", "rougeLsum", "gen_len"]
ResultKey = Literal[
    "result_tokens_per_second",
    "result_completed_tokens_per_second",
    "result_90.00_percentile_latency_ns",
]
LoadgenName = Annotated[str, Field(pattern=r"^[\w.-]+$")]  # a key of LoadGen's user.conf
ROUGE: tuple[Metric, ...] = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class ScenarioRules(Frozen):
    """The rules of one scenario.

    `ttft_ms` and `tpot_ms` limit the p99 of time to first token and of time per output token.
    `min_query_count` is None where LoadGen's own default holds. `metric` is the key of LoadGen's
    detail log that is the result. `official` is False where MLPerf has no such result.
    """

    ttft_ms: PositiveFloat | None = None
    tpot_ms: PositiveFloat | None = None
    min_query_count: PositiveInt | None = None
    metric: ResultKey
    official: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> ScenarioRules:
        if (self.ttft_ms is None) != (self.tpot_ms is None):
            raise ValueError("`ttft_ms` and `tpot_ms` are given together, or both left out.")
        return self

    @property
    def is_constrained(self) -> bool:
        """Whether the scenario has latency limits, so that its rate is searched for."""
        return self.ttft_ms is not None


class AccuracyTarget(Frozen):
    """Accuracy of the unquantised reference, and how much of it an engine must keep.

    `reference` holds ROUGE in percent and `gen_len`, the total length of the answers in characters.
    """

    reference: dict[Metric, PositiveFloat]
    ratio: PositiveFloat = 0.99
    gen_len_low: PositiveFloat = 0.9
    gen_len_high: PositiveFloat = 1.1

    @model_validator(mode="after")
    def _consistent(self) -> AccuracyTarget:
        if missing := [name for name in get_args(Metric) if name not in self.reference]:
            raise ValueError(f"`reference` lacks `{missing[0]}`; add it.")
        if self.gen_len_low > self.gen_len_high:
            raise ValueError("`gen_len_low` is above `gen_len_high`; swap them.")
        return self

    @property
    def gates(self) -> dict[Metric, tuple[float, float | None]]:
        """Lowest and highest accepted value by metric, both inclusive; None means no upper gate."""
        gates: dict[Metric, tuple[float, float | None]] = {
            name: (self.reference[name] * self.ratio, None) for name in ROUGE
        }
        length = self.reference["gen_len"]
        gates["gen_len"] = (length * self.gen_len_low, length * self.gen_len_high)
        return gates


class OfficialModel(Frozen):
    """The model of a benchmark: repository and commit on the Hugging Face hub, and the SHA-256 in
    hex of each of its weight files.
    """

    hub: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    weights: dict[Text, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]

    def has_weights(self, digests: Mapping[str, str]) -> bool:
        """Whether files with these digests are the model's weights, whatever their names."""
        return sorted(digests.values()) == sorted(self.weights.values())


class OfficialData(Frozen):
    """Where the data of a benchmark comes from.

    MLCommons distributes `file` (and, for calibration, `calibration_file` with
    `calibration_samples` records) under the names `uri` and `calibration_uri` of its downloader.
    The same articles are the `split` of configuration `config` of the dataset `hub` on the Hugging
    Face hub, shuffled with `shuffle_seed` where only a part of them is asked. `split_samples` holds
    the size of every split and `vocab_size` that of the model's tokenizer, so that wrong ones are
    recognised.
    """

    file: Text
    uri: Text
    calibration_file: Text
    calibration_uri: Text
    calibration_samples: PositiveInt
    hub: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    config: Text
    split: Text
    split_samples: dict[str, PositiveInt]
    vocab_size: PositiveInt
    shuffle_seed: int | None = None

    @model_validator(mode="after")
    def _consistent(self) -> OfficialData:
        if self.split not in self.split_samples:
            raise ValueError("`split` must be one of `split_samples`.")
        return self

    @property
    def short_name(self) -> str:
        """The dataset's name without its owner."""
        return self.hub.partition("/")[2]


class Workload(Frozen):
    """One benchmark: prompts, limits, scenarios and accuracy.

    `benchmark` is the name under which results are submitted, None for a workload of our own;
    `model` and `data` say where a benchmark's checkpoint and articles come from.
    Lengths are in tokens. `max_input_tokens` is the longest prompt of the dataset, template
    included. `equal_issue` makes LoadGen ask every sample equally often (its
    sample_concatenate_permutation).
    """

    name: Name
    title: Text
    benchmark: Name | None = None
    model: OfficialModel | None = None
    data: OfficialData | None = None
    prompt_template: str
    min_new_tokens: PositiveInt = 1
    max_new_tokens: PositiveInt
    max_input_tokens: PositiveInt
    num_samples: PositiveInt
    loadgen_model: LoadgenName
    interactive_model: LoadgenName | None = None
    equal_issue: bool
    min_duration_s: NonNegativeFloat
    scenarios: Annotated[dict[Scenario, ScenarioRules], Field(min_length=1)]
    accuracy: AccuracyTarget | None = None
    sources: Annotated[list[Text], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Workload:
        rest = self.prompt_template.replace(PLACEHOLDER, "", 1)
        if len(rest) == len(self.prompt_template) or "{" in rest or "}" in rest:
            raise ValueError("`prompt_template` must hold {article} once and no other braces.")
        if self.data is not None and self.num_samples > self.data.split_samples[self.data.split]:
            raise ValueError("`num_samples` is above the size of `data.split`; lower it.")
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError("`min_new_tokens` is above `max_new_tokens`; lower it.")
        if ("Interactive" in self.scenarios) != (self.interactive_model is not None):
            raise ValueError("`interactive_model` goes with the Interactive scenario.")
        if self.benchmark is None and any(rules.official for rules in self.scenarios.values()):
            raise ValueError("without a `benchmark` every scenario needs `official: false`.")
        for name, rules in self.scenarios.items():
            if rules.is_constrained != (name in ("Server", "Interactive")):
                raise ValueError(f"`ttft_ms` and `tpot_ms` do not fit scenario {name}.")
        return self

    def revision_of(self, model: str) -> str | None:
        """The commit that the benchmark asks for when `model` is its model's hub id."""
        return self.model.revision if self.model and self.model.hub == model else None

    def prompt(self, article: str) -> str:
        """The text that is asked about `article`."""
        return self.prompt_template.replace(PLACEHOLDER, article)


def workload_names() -> list[str]:
    """Names of the shipped workloads."""
    return config_names("workloads")


def load_workload(name: str) -> Workload:
    """A shipped workload by name, or one from a .yaml file. Raises UnknownName or ConfigError."""
    return load_config("workloads", name, Workload)


def is_shipped(workload: Workload) -> bool:
    """Whether this is a shipped workload with every field as shipped."""
    return workload.name in workload_names() and load_workload(workload.name) == workload


def scenario(workload: Workload, name: str) -> ScenarioRules:
    """The rules of one scenario of `workload`. Raises UnknownName."""
    for known, rules in workload.scenarios.items():
        if known == name:
            return rules
    raise UnknownName(f"scenario of {workload.name}", name, workload.scenarios)
