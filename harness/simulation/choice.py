"""From the words of a run to the same run of a simulated engine, in real time under LoadGen: the
plan says what would be built and how fast it is likely to be, and nothing is downloaded or built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.checkpoint.known import hub_id
from build_engine.checkpoint.resolve import resolve_tokenizer
from build_engine.errors import ConfigError, RecipeRefused, UsageError
from build_engine.paths import cache_root
from harness.dataset.sources.source import Source
from harness.figures import duration
from harness.loadgen.job import Probe
from harness.machine.measured import known_peaks
from harness.plan.choice import as_built
from harness.plan.plan import Plans, make_plan
from harness.runs.asking import MODES, AskedModel, check_samples
from harness.runs.request import RunRequest
from harness.runs.simulated import NO_ACCURACY, SimulatedEngine
from harness.simulation.arrivals import arrivals_s
from harness.simulation.engine import planned_engine
from harness.simulation.prompts import drawn_dataset
from runtime.simulated.spec import SimulatedSpec

if TYPE_CHECKING:
    from harness.dataset.prepared import Dataset
    from harness.plan.plan import EnginePlan
    from harness.progress import Progress
    from harness.runs.asking import Asked
    from harness.runs.choice import RunChoice
    from harness.runs.engine_choice import EngineChoice


@dataclass(frozen=True, slots=True)
class SimulatedChoice:
    """An engine and its run, as a user names them, of which the engine is simulated."""

    engine: EngineChoice
    choice: RunChoice

    def request(self, progress: Progress) -> RunRequest:
        """The run. Raises UsageErrors and EnvironmentFaults, all before a LoadGen test begins."""
        self._check()
        choice = self.choice
        asked = choice.asked(self.engine.workload_settings)
        choice.check_place()
        plan = self._plan(asked)
        executor, simulated = self._simulated(plan)
        dataset = self._dataset(asked, plan, progress)
        if "accuracy" in asked.modes:
            progress.note(f"Accuracy is skipped, as {NO_ACCURACY}.")
        self._tell_overload(asked, plan, dataset, progress)
        return RunRequest(
            scope=choice.scope(asked, dataset),
            modes=MODES["performance"],
            dataset=dataset,
            engine=None,
            simulated=simulated,
            executor=executor,
            folder=choice.folder(f"{simulated.recipe.name}-simulated", asked.scenario),
            repeat=choice.repeat,
            command=choice.command_of(
                ["--simulate", *self.engine.options], self.engine.workload_settings
            ),
        )

    def _check(self) -> None:
        """Raise UsageError for what a simulated engine has not."""
        if self.engine.emulate:
            raise UsageError(
                "--simulate is for the speed of an engine and --emulate for its accuracy; give one "
                "of them."
            )
        if self.choice.mode == "accuracy":
            raise UsageError(
                f"A simulated engine has no accuracy, as {NO_ACCURACY}; leave out --mode accuracy."
            )
        if self.engine.calibration is not None:
            raise UsageError("A simulated engine is not calibrated; leave out --calibration.")
        alone = {
            "--tensor-parallel": (self.engine.tensor_parallel or 1) > 1,
            "--replicas": self.choice.replicas is not None,
            "--ray-address": self.choice.ray_address is not None,
            "--cores-per-replica": self.choice.cores_per_replica is not None,
            "--tolerate-failures": self.choice.tolerate_failures,
        }
        given = next((option for option, is_given in alone.items() if is_given), None)
        if given is not None:
            raise UsageError(f"A simulated engine is one, on one device; leave out {given}.")

    def _plan(self, asked: Asked) -> EnginePlan:
        """The plan of the engine. Raises ConfigError and EnvironmentFault where it does not fit,
        ConfigError where no speed is known, and RecipeRefused.
        """
        wanted = as_built(self.engine, asked.workload)
        if wanted.refusal is not None:
            raise RecipeRefused(f"{wanted.refusal}.")
        plan = make_plan(wanted, asked.round, known_peaks(wanted.target))
        Plans((plan,), ()).require_best()
        if plan.forecast is None:
            raise ConfigError(
                f"`{wanted.recipe.name}` cannot be simulated, as no speed is predicted: "
                f"{plan.no_forecast}."
            )
        answer, asks = wanted.lengths.answer, asked.workload.max_new_tokens
        if answer < asks and not wanted.shorter:
            raise ConfigError(
                f"Workload {asked.workload.name} asks for answers of {asks} tokens, and this "
                f"engine gives {answer}; raise --max-new-tokens, or add --set "
                f"workload.max_new_tokens={answer}."
            )
        return plan

    def _simulated(self, plan: EnginePlan) -> tuple[SimulatedSpec, SimulatedEngine]:
        wanted, seen, peaks = plan.asked, plan.forecast, known_peaks(plan.asked.target)
        model = planned_engine(plan, peaks) if peaks else None
        assert model is not None and seen is not None, "a plan with a speed"
        spec = SimulatedSpec(engine=model, num_tokens=wanted.lengths.answer)
        simulated = SimulatedEngine(
            model=wanted.model.name,
            target=wanted.target.name,
            recipe=wanted.recipe.rules,
            limits=plan.memory.limits,
            peaks=seen.peaks,
            efficiencies=seen.efficiencies,
        )
        return spec, simulated

    def _dataset(self, asked: Asked, plan: EnginePlan, progress: Progress) -> Dataset:
        """The articles that the user names, or else prompts of drawn lengths."""
        choice, wanted, workload = self.choice, plan.asked, asked.workload
        if choice.dataset is not None:
            source = Source.for_workload(choice.dataset, workload, progress)
            name = hub_id(self.engine.model)
            folder = resolve_tokenizer(name, workload.revision_of(name), progress)
            config = wanted.model.config
            model = AskedModel(
                folder, plan.memory.limits, config.max_position_embeddings, config.vocab_size
            )
            return choice.dataset_for(asked, source, model, progress)
        if wanted.shorter:
            progress.note(wanted.shorter)
        count = choice.count or workload.num_samples
        if count > workload.num_samples:
            raise UsageError(
                f"Workload {workload.name} has {workload.num_samples:,} samples, fewer than "
                f"--count {count}."
            )
        check_samples(asked.scenario, count)
        found = drawn_dataset(
            workload, wanted.lengths, count, asked.round.loadgen.seeds.qsl, cache_root()
        )
        progress.note(
            f"Asked are {found.record.source}: no data of the workload and no tokenizer is needed "
            "(--dataset takes those of articles)."
        )
        return found

    def _tell_overload(
        self, asked: Asked, plan: EnginePlan, dataset: Dataset, progress: Progress
    ) -> None:
        """Say how long it takes where more queries come than are answered."""
        qps, seen = self.choice.qps, plan.forecast
        if qps is None or seen is None or not asked.scenario.has_rate:
            return
        most = seen.offline.likely.typical / plan.asked.lengths.answer
        if qps <= most:
            return
        test = self.choice.scope(asked, dataset).plan("performance", Probe(0.0, 1.0, most))
        times = arrivals_s(test, asked.round.loadgen.seeds)
        assert times is not None, "a scenario with a rate"
        progress.note(
            f"{qps:g} queries/s are more than such an engine answers ({most:,.3g} a second "
            f"all at once): the last of {len(times):,} is answered after about "
            f"{duration(len(times) / most)}."
        )
