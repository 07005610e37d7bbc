"""What a result was measured with, as dotted fields: what makes two runs repeats of one thing, and
in what two candidates differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.fields import Fields, flat

if TYPE_CHECKING:
    from harness.report.result import Result

LOADGEN = "mlcommons-loadgen"
_SAID = {"model", "declared", "servers"}


def engine_settings(result: Result) -> Fields:
    """The engine, and how it is executed: `engine.…`, `executor.…`."""
    record = result.record
    identity = {} if record.engine is None else record.engine.identity.model_dump(mode="json")
    if record.simulated is not None:
        identity = record.simulated.model_dump(mode="json")
        identity["target"] = {"name": record.simulated.target}
    executor = record.executor.model_dump(mode="json", exclude={"folder", "tokenizer"})
    served = {} if record.served is None else record.served.model_dump(mode="json", include=_SAID)
    return {
        **dict(flat(identity, "engine.")),
        **dict(flat(served, "server.")),
        **dict(flat(executor, "executor.")),
    }


def surroundings(result: Result) -> Fields:
    """What must be the same for a fair comparison: `workload.…`, `dataset.…`, `rules.…` and
    `machine.…`, whose GPUs are those of the system description.
    """
    record = result.record
    machine, system = record.machine, record.system.fields
    return {
        **dict(flat(record.workload.model_dump(mode="json"), "workload.")),
        "dataset.source": record.dataset.source,
        "dataset.num_samples": record.dataset.num_samples,
        "dataset.digest": record.dataset.digest,
        "rules.round": record.round,
        "rules.loadgen": record.versions.get(LOADGEN),
        "machine.cpu": machine.cpu,
        "machine.num_cpus": machine.num_cpus,
        "machine.memory_gib": machine.memory_gib,
        "machine.gpus": system.get("accelerator_model_name"),
        "machine.num_gpus": system.get("accelerators_per_node"),
    }


def test_settings(result: Result) -> Fields:
    """How much was asked, and at what rate: `test.…`. The rate that LoadGen expects in Offline
    comes from the warm-up, and changes nothing but how much is asked.
    """
    plans = [test.plan for test in result.tests if test.plan is not None]
    if not plans:
        return {}
    plan = plans[0]
    return {
        "test.min_duration_s": plan.min_duration_s,
        "test.target_qps": plan.target_qps if plan.scenario.has_rate else None,
    }
