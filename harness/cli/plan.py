"""`enginebench plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from build_engine.errors import EXIT_OK, EnginebenchError, UsageError
from build_engine.progress import size_text
from harness.cli.here import builds_here
from harness.cli.options import RoundName
from harness.cli.output import Output
from harness.plan.choice import ALL, PlanChoice
from harness.rules.rounds import DEFAULT

if TYPE_CHECKING:
    from harness.plan.asked import Asked
    from harness.plan.plan import EnginePlan, Plans
    from harness.rules.rounds import Round
    from harness.simulation.rehearsal import Rehearsal


def plan(
    *,
    model: str,
    recipe: Annotated[str, Parameter(name=("--recipe", "--recipes"))] = ALL,
    target: Annotated[str, Parameter(name=("--target", "--targets"))] = "cpu",
    workload: str | None = None,
    round: RoundName = DEFAULT,
    max_batch_size: Annotated[
        str | None, Parameter(name=("--max-batch-size", "--max-batch-sizes"))
    ] = None,
    max_num_tokens: str | None = None,
    max_input_len: int | None = None,
    max_new_tokens: int | None = None,
    profile: str | None = None,
    tensor_parallel: int | None = None,
    set: tuple[str, ...] = (),
    simulate: bool = False,
    json: bool = False,
) -> int:
    """Say what will fit, how fast it can be at best, what is likely, and how long it takes; needs
    no weights, no GPU and no network.

    Parameters
    ----------
    model
        A folder with a `config.json`, `newsbrief`, or a model whose dimensions are known, by name
        or hub id: llama3.1-8b.
    recipe
        How it is quantised: a recipe, several with commas between them, or `all`.
    target
        What the engine is for: a target, several with commas between them, or `all`.
    workload
        Whose lengths and limits are planned for; that of the model's name when left out, or
        llama3.1-8b.
    max_batch_size
        Requests in flight at once, or several numbers with commas between them, side by side; what
        `build` takes when left out.
    max_num_tokens
        The same for the tokens of one iteration.
    max_input_len
        Tokens of the longest prompt, instead of the workload's.
    max_new_tokens
        Tokens of the longest answer, instead of the workload's.
    profile
        What it is tuned for, on GPUs: `throughput` (when left out) or `latency`.
    tensor_parallel
        GPUs that share the engine; then there is a plan of the memory of each, and no speed.
    set
        Change a field of the recipe or of the workload: `--set recipe.kv_cache=int8`,
        `--set workload.mean_input_tokens=600`.
    simulate
        Answer the whole dataset in virtual time too, and search for the highest rate within the
        latency limits of Server and Interactive; a minute or two for each recipe.
    json
        Write the plans to standard output as JSON.
    """
    from harness.cli.plan_text import document, show_plan, show_plans
    from harness.machine.measured import measured_here
    from harness.plan.plan import make_plans, require_some
    from harness.rules.rounds import load_round

    out, chosen = Output(as_json=json), load_round(round)
    choice = PlanChoice(
        model=model,
        recipe=recipe,
        target=target,
        workload=workload,
        settings=set,
        max_batch_size=max_batch_size,
        max_num_tokens=max_num_tokens,
        max_input_len=max_input_len,
        max_new_tokens=max_new_tokens,
        profile=profile,
        tensor_parallel=tensor_parallel,
    )
    asked = choice.asked(chosen)
    measured = measured_here([each.target for each in asked])
    plans = make_plans(asked, chosen, measured)
    require_some(plans, lambda target: make_plans(choice.others(chosen, target), chosen, measured))
    _tell_mean(out, plans.plans[0].asked)
    if len(asked) == 1:
        show_plan(out, plans.plans[0])
    else:
        show_plans(out, plans)
    found = document(plans)
    if simulate:
        found["simulated"] = _simulated(out, plans, chosen)
    try:
        best = plans.require_best()
    except EnginebenchError as refused:
        out.error(str(refused), refused.exit_code, found)
        return refused.exit_code
    out.result(found)
    _next(out, choice, best)
    return EXIT_OK


def _tell_mean(out: Output, asked: Asked) -> None:
    """That prompts are shorter than the workload's are on average, where the longest is."""
    mean, planned = asked.workload.mean_input_tokens or 0.0, asked.lengths.prompt
    if planned < mean:
        out.say(
            f"Prompts of workload {asked.workload.name} have {mean:,g} tokens on average, and here "
            f"none may have more than {asked.lengths.longest_prompt:,}: this is for a mean of "
            f"{planned:,g}; `--set workload.mean_input_tokens=N` plans for another."
        )


def _simulated(out: Output, plans: Plans, chosen: Round) -> list[object]:
    """Rehearsals of the plans whose peaks are known, shown one after the other."""
    from harness.cli.simulated_text import rehearsed, show_rehearsals, show_side_by_side
    from harness.machine.measured import known_peaks
    from harness.simulation.rehearsal import rehearse

    found: list[tuple[Rehearsal, ...]] = []
    labels = [_label(plan, plans) for plan in plans.plans]
    for label, plan in zip(labels, plans.plans, strict=True):
        peaks = known_peaks(plan.asked.target)
        rehearsals: tuple[Rehearsal, ...] = ()
        reason = f"{plan.no_forecast}."
        try:
            rehearsals = tuple(rehearse(plan, peaks, chosen)) if peaks else ()
        except UsageError as refused:  # of one of several, whose plan is known all the same
            reason = str(refused)
        show_rehearsals(out, label, rehearsals)
        if not rehearsals:
            out.say(f"{label} is not simulated: {reason}")
        found.append(rehearsals)
    show_side_by_side(out, dict(zip(labels, found, strict=True)))
    return [rehearsed(rehearsals) for rehearsals in found]


def _label(plan: EnginePlan, plans: Plans) -> str:
    """What tells a plan from the others."""
    asked = plan.asked
    targets = {each.asked.target.name for each in plans.plans}
    return f"{asked.target.name}, {asked.label}" if len(targets) > 1 else asked.label


def _next(out: Output, choice: PlanChoice, best: EnginePlan) -> None:
    """The build of the best, which this machine may not be for, or not now; before it what makes
    its checkpoint, where the target has no room for that.
    """
    engine, memory = choice.engine(best.asked), best.memory
    workload = choice.workload or best.asked.workload.name
    words = ("build", *engine.options, "--workload", workload)
    if memory.needs is not None and not memory.quantises:
        out.advice(
            f"quantise it first, with the GPU hidden, where "
            f"{size_text(memory.needs.quantise_alone)} of host memory are free: "
            f"CUDA_VISIBLE_DEVICES= {out.command(*words, '--stage', 'quantise')}"
        )
    host = memory.needs.build_host if memory.needs and memory.on_host else 0
    if host > memory.device:
        out.advice(f"when {size_text(host)} of host memory are free: {out.command(*words)}")
    elif builds_here(engine):
        out.next(*words)
    else:
        out.advice(f"in the container, on a machine with that GPU: {out.command(*words)}")
