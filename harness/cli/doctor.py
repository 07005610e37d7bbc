"""`enginebench doctor`."""

from __future__ import annotations

from harness.cli.options import RoundName
from harness.cli.output import Output
from harness.rules.rounds import DEFAULT
from harness.runs.folder import new_folder


def doctor(
    *,
    contract: bool = False,
    system_json: bool = False,
    measure: bool = False,
    fresh: bool = False,
    round: RoundName = DEFAULT,
    json: bool = False,
) -> int:
    """Check this machine: what can be built and run here, and what is missing.

    Parameters
    ----------
    contract
        Instead, compare what this version knows of TensorRT-LLM with the installed one: the first
        command in its container.
    system_json
        Instead, describe this machine on standard output as MLPerf's system JSON, and list what a
        person must fill in.
    measure
        Instead, measure once how fast this CPU multiplies matrices and reads memory through the
        engine's own library, and what steps of an engine cost: some twenty seconds. Plans for it
        and what runs say of their limits go by that.
    fresh
        Measure anew what was measured before.
    json
        Write the findings to standard output as JSON, each with its level: pass, warn (it costs
        speed, or you may not want it here) or fail (exit code 3).
    """
    if contract:
        return _compare_contract(Output(as_json=json))
    if system_json:
        return _describe_system()
    if measure:
        from harness.cli.measured import show_measured

        return show_measured(Output(as_json=json), fresh=fresh)
    from dataclasses import asdict

    from build_engine.errors import EXIT_ENVIRONMENT, EXIT_OK
    from harness.doctor.check import Level
    from harness.doctor.checks import all_checks
    from harness.rules.rounds import load_round

    out = Output(as_json=json)
    checks = all_checks(load_round(round))
    rows = []
    for check in checks:
        level = check.level.upper() if check.level is Level.FAIL else str(check.level)
        rows.append([level, check.name, check.finding])
        if check.remedy:
            rows.append(["", "", f"-> {check.remedy}"])
    out.lines(rows)
    failures = [check for check in checks if check.level is Level.FAIL]
    out.result({"ok": not failures, "checks": [asdict(check) for check in checks]})
    if failures:
        out.advice(failures[0].remedy)
    else:
        out.next("demo", *([] if round == DEFAULT else ["--round", round]))
    return EXIT_ENVIRONMENT if failures else EXIT_OK


def _compare_contract(out: Output) -> int:
    from build_engine.errors import EXIT_OK, EXIT_RESULT
    from build_engine.trtllm.contract import compare_build_facts
    from build_engine.trtllm.pin import PIN
    from runtime.trtllm.compare import compare_bindings_facts

    halves = [compare_build_facts(), compare_bindings_facts()]
    num_facts = sum(half.num_facts for half in halves)
    found = [difference for half in halves for difference in half.differences]
    for difference in found:
        out.say(f"DIFFERS {difference}")
    out.say(f"{num_facts} facts of TensorRT-LLM {PIN.tensorrt_llm} compared, {len(found)} differ.")
    out.result({"num_facts": num_facts, "differences": found})
    if found:
        out.advice(f"use the container {PIN.container}, or report these lines")
        return EXIT_RESULT
    out.next("doctor")
    return EXIT_OK


def _describe_system() -> int:
    from build_engine.errors import EXIT_ENVIRONMENT, EXIT_OK
    from harness.machine.system import detect_system

    out = Output(as_json=True)
    system = detect_system()
    out.result(system.fields)
    if system.to_fill:
        out.say(f"{len(system.to_fill)} fields are for a person to fill in:")
        out.lines([[f"  {name}", what] for name, what in system.to_fill])
    for note in system.notes:
        out.say(f"Note: {note}")
    for problem in system.closed_problems:
        out.say(f"ERROR for a closed datacenter result on these GPUs: {problem}")
    pack = ["RUN", "--submitter", "NAME", "--system", "FILE", "--division", "open"]
    out.advice(
        "write this to a FILE, fill in those fields, then pack: "
        f"{out.command('submission', 'pack', *pack, '--output', new_folder('submission'))}"
    )
    return EXIT_ENVIRONMENT if system.closed_problems and not system.blind else EXIT_OK
