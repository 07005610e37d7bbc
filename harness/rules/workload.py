"""Workloads: what is asked of an engine, and by which rules its answers are judged.

A workload file says what its round does not: prompt, model, data, LoadGen's names. Limits, counts
and gates of one that carries a `benchmark` are those of the round, to the letter; the others state
their own, and never produce an official result. One that is `like` another asks what that one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from build_engine.config import Frozen, Name, Text, apply_overrides, config_names, load_config
from build_engine.errors import ConfigError, UnknownName
from build_engine.roofline.work import Lengths
from build_engine.validation import Word
from harness.rules.gates import AccuracyTarget
from harness.rules.limits import ScenarioLimits
from harness.rules.rounds import DEFAULT, Round, load_round
from harness.rules.scenario import Scenario

PLACEHOLDER = "{article}"
MAX_DURATION_S = 86_400  # LoadGen keeps a record of every sample that it is to ask for
_LIKE = "like"
_MEAN = "mean_input_tokens"
# What a workload takes from the one that it is `like`: the question, not how it is measured.
_ASKED = (
    "prompt_template",
    "chat_template",
    "min_new_tokens",
    "max_input_tokens",
    _MEAN,
    "model",
    "data",
    "equal_issue",
)


class ScenarioRules(ScenarioLimits):
    """The rules of one scenario of a workload.

    `min_query_count` is None where LoadGen's own default, or the size of the dataset, holds.
    `official` is whether MLPerf has such a result.
    """

    min_query_count: PositiveInt | None = None
    official: bool = False


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
    """One workload under the rules of one round: prompts, limits, scenarios and accuracy.

    `benchmark` is the name under which results are submitted, None for a workload of our own;
    `model` and `data` say where a benchmark's checkpoint and articles come from.
    Lengths are in tokens. `max_input_tokens` is the longest prompt of the dataset, template
    included, and `mean_input_tokens` their mean, for plans. `interactive_model` is the name under
    which LoadGen has the limits of Interactive. `equal_issue` makes LoadGen ask every sample
    equally often (its sample_concatenate_permutation). With `chat_template` the prompt is what a
    user says in the checkpoint's own chat template.
    """

    name: Name
    title: Text
    benchmark: Name | None = None
    model: OfficialModel | None = None
    data: OfficialData | None = None
    prompt_template: str
    chat_template: bool = False
    min_new_tokens: PositiveInt = 1
    max_new_tokens: PositiveInt
    max_input_tokens: PositiveInt
    mean_input_tokens: PositiveFloat | None = None
    num_samples: PositiveInt
    loadgen_model: Word
    interactive_model: Word | None = None
    equal_issue: bool
    min_duration_s: Annotated[NonNegativeFloat, Field(le=MAX_DURATION_S)]
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
        if (Scenario.INTERACTIVE in self.scenarios) != (self.interactive_model is not None):
            raise ValueError("`interactive_model` goes with the Interactive scenario.")
        if self.benchmark is None and any(rules.official for rules in self.scenarios.values()):
            raise ValueError("without a `benchmark` every scenario needs `official: false`.")
        for scenario, rules in self.scenarios.items():
            if rules.is_constrained != scenario.has_rate:
                raise ValueError(f"`ttft_ms` and `tpot_ms` do not fit scenario {scenario}.")
        return self

    @property
    def lengths(self) -> Lengths | None:
        """Those of its requests, answers as long as they may be, and a mean above the longest
        prompt as long as that; None where the mean is not known.
        """
        if self.mean_input_tokens is None:
            return None
        return Lengths(
            prompt=min(self.mean_input_tokens, self.max_input_tokens),
            answer=self.max_new_tokens,
            longest_prompt=self.max_input_tokens,
        )

    def with_settings(self, assignments: Sequence[str]) -> Workload:
        """With `key=value` assignments applied. Raises ConfigError, as for a file."""
        changed = apply_overrides(self, assignments)
        if any(each.partition("=")[0] == _MEAN for each in assignments):
            _require_mean(changed, "--set")
        return changed

    def revision_of(self, model: str) -> str | None:
        """The commit that the benchmark asks for when `model` is its model's hub id."""
        return self.model.revision if self.model and self.model.hub == model else None

    def prompt(self, article: str) -> str:
        """The text that is asked about `article`."""
        return self.prompt_template.replace(PLACEHOLDER, article)

    def rules_of(self, scenario: Scenario) -> ScenarioRules:
        """The rules of one of its scenarios. Raises UnknownName."""
        if scenario not in self.scenarios:
            raise UnknownName(f"scenario of {self.name}", scenario, self.scenarios)
        return self.scenarios[scenario]

    def loadgen_model_of(self, scenario: Scenario) -> str:
        """The name that LoadGen looks up in its mlperf.conf for this scenario's limits."""
        own = self.interactive_model if scenario is Scenario.INTERACTIVE else None
        return own or self.loadgen_model


def workload_names() -> list[str]:
    """Names of the shipped workloads."""
    return config_names("workloads")


def load_workload(name: str, chosen: Round | None = None) -> Workload:
    """A shipped workload by name, or one from a .yaml file, under the rules of a round (of the
    default one when None). What the file says itself stands.

    Raises UnknownName, or ConfigError, also for a benchmark that the round does not have.
    """
    own: set[str] = set()

    def resolved(said: dict[str, Any]) -> dict[str, Any]:
        own.update(said)
        return _with_benchmark(_with_asked(said), chosen)

    found = load_config("workloads", name, Workload, resolved)
    if _MEAN in own:
        _require_mean(found, name)
    return found


def is_shipped(workload: Workload, chosen: Round) -> bool:
    """Whether this is a shipped workload with every field as shipped, and as this round has it."""
    if workload.name not in workload_names():
        return False
    return load_workload(workload.name, chosen) == workload


def _require_mean(workload: Workload, origin: str) -> None:
    """Return where prompts can have the mean that `origin` says. Raises ConfigError. A mean that
    somebody else says, as a shipped workload does, is not refused: `lengths` cuts it.
    """
    mean, longest = workload.mean_input_tokens, workload.max_input_tokens
    if mean is not None and mean > longest:
        raise ConfigError(
            f"{origin}: `mean_input_tokens` is {mean:,g}, above `max_input_tokens`, which is "
            f"{longest:,}; lower the mean, or raise the longest."
        )


def _with_asked(said: dict[str, Any]) -> dict[str, Any]:
    """With what the workload that it is `like` asks."""
    if _LIKE not in said:
        return said
    own, other = dict(said), str(said[_LIKE])
    del own[_LIKE]
    if other not in workload_names():
        raise UnknownName("workload", other, workload_names())
    return _under(load_workload(other).model_dump(mode="json", include=set(_ASKED)), own)


def _with_benchmark(said: dict[str, Any], chosen: Round | None) -> dict[str, Any]:
    """With the limits, counts and gates of its benchmark."""
    name = said.get("benchmark")
    if not isinstance(name, str):
        return said
    chosen = chosen or load_round(DEFAULT)
    benchmark = chosen.benchmarks.get(name)
    if benchmark is None:
        raise ConfigError(
            f"Workload {said.get('name')} is benchmark {name}, which round {chosen.name} does not "
            f"have; choose another --round, or a benchmark of this one: "
            f"{', '.join(chosen.benchmarks)}."
        )
    given = {
        "num_samples": benchmark.num_samples,
        "max_new_tokens": benchmark.max_new_tokens,
        "min_duration_s": chosen.min_duration_s,
        "accuracy": benchmark.accuracy.model_dump(mode="json"),
        "scenarios": {
            str(scenario): {**limits.model_dump(mode="json"), "official": True}
            for scenario, limits in benchmark.scenarios.items()
        },
    }
    return _under(given, said)


def _under(given: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """What is given under what a file says, key by key."""
    both = {**given, **said}
    for key in given.keys() & said.keys():
        if isinstance(given[key], dict) and isinstance(said[key], dict):
            both[key] = _under(given[key], said[key])
    return both
