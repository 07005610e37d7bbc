"""Compile an engine with `trtllm-build`: refused before anything is spent where it cannot work,
kept only where it is what was asked for.

The order: this machine (`machine.py`), the quantised checkpoint (`artefact.py` finds it, or has
`quantise.py` write it), the plan (`plan.py`), the command (`tool.py`), what the engine says of
itself (`readback.py`), and then its files. `runtime/trtllm/` executes what comes out.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.errors import BuildFailed
from build_engine.fields import flat
from build_engine.files import CACHE_REMEDY, cannot_write, read_json, replaced
from build_engine.paths import cache_root
from build_engine.planned import Expected
from build_engine.store.spec import SHORT_KEY_LEN, BuildFacts, folder_name
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.artefact import quantised_checkpoint
from build_engine.trtllm.description import DESCRIPTION
from build_engine.trtllm.engine_config import CONFIG_FILE
from build_engine.trtllm.machine import require_machine
from build_engine.trtllm.plan import PROGRAM, Places, plan_build, timing_cache
from build_engine.trtllm.quantise import precision
from build_engine.trtllm.readback import differences, require_as_asked
from build_engine.trtllm.tool import run_tool

if TYPE_CHECKING:
    from build_engine.planned import PlannedBuild
    from build_engine.progress import BuildProgress
    from build_engine.store.spec import EngineSpec
    from build_engine.trtllm.algorithm import QuantFormat

LOG_FILE = "build.log"


def compile_engine(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
    """Write the engine of `spec` into the existing `folder` and return what its manifest must say.

    The folder gets TensorRT-LLM's config.json, a rank{N}.engine for each GPU, the builder's log and
    the tokenizer. Raises EnvironmentFault where this machine cannot compile it,
    BuildFailed where the builder fails or makes something else, and what quantising raises.
    """
    progress.phase("machine")
    require_machine(spec, folder)
    checkpoint = quantised_checkpoint(spec, progress)
    form = format_of(spec.recipe)
    _require_checkpoint(checkpoint, form, spec)
    log = _log_file(spec)
    with tempfile.TemporaryDirectory(prefix=".trtllm-", dir=folder) as scratch:
        built, timings = Path(scratch, "engine"), Path(scratch, "timings.cache")
        cache = timing_cache(spec.target.name)
        places = Places(
            checkpoint=str(checkpoint),
            engine=str(built),
            timing_in=str(cache),
            timing_out=str(timings),
        )
        plan = plan_build(spec, form, places)
        progress.note(f"{PROGRAM} is logged in {log}")
        run_tool(plan.command, Path(scratch), log, progress)
        progress.phase("read back")
        _require_files(built, spec.limits.tensor_parallel)
        require_as_asked(built, plan.expected)
        progress.phase("files")
        _keep_timings(timings, cache)
        for name in (CONFIG_FILE, *_engine_files(spec.limits.tensor_parallel)):
            (built / name).rename(folder / name)
    _add_tokenizer(spec, log, folder)
    return _facts(spec, form, plan)


def _require_checkpoint(checkpoint: Path, form: QuantFormat, spec: EngineSpec) -> None:
    """The checkpoint is in the form that the recipe means, and split for as many GPUs."""
    wanted = (
        Expected("dtype", (form.dtype,)),
        Expected("quantization.quant_algo", (form.quant_algo,)),
        Expected("quantization.kv_cache_quant_algo", (form.kv_cache_quant_algo,)),
        Expected("mapping.tp_size", (spec.limits.tensor_parallel,)),
    )
    file, remedy = checkpoint / DESCRIPTION, "delete that folder and build again"
    problems = differences(dict(flat(read_json(file, BuildFailed, remedy))), wanted)
    if problems:
        raise BuildFailed(f"{file} is not of recipe `{spec.recipe.name}`: {problems[0]}; {remedy}.")


def _require_files(built: Path, parts: int) -> None:
    for name in (CONFIG_FILE, *_engine_files(parts)):
        file = built / name
        if not file.is_file() or file.stat().st_size == 0:
            raise BuildFailed(
                f"{PROGRAM} ended well and wrote no {name}; look for the reason in its log, in "
                f"{_logs()}."
            )


def _engine_files(parts: int) -> list[str]:
    return [f"rank{rank}.engine" for rank in range(parts)]


def _keep_timings(timings: Path, cache: Path) -> None:
    """The next build of this GPU type with this TensorRT need not time those kernels again."""
    if timings.is_file():
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            with replaced(cache) as temporary:
                shutil.copyfile(timings, temporary)
        except OSError as error:
            raise cannot_write(cache, error, CACHE_REMEDY) from error


def _log_file(spec: EngineSpec) -> Path:
    name = folder_name(f"{spec.checkpoint.name}-{spec.target.name}-{spec.recipe.name}")
    file = _logs() / f"{name}-{spec.key[:SHORT_KEY_LEN]}.log"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(file, error, CACHE_REMEDY) from error
    return file


def _logs() -> Path:
    return cache_root() / "logs"


def _add_tokenizer(spec: EngineSpec, log: Path, folder: Path) -> None:
    """The tokenizer, in files of our own making, and the builder's log."""
    tokenizer = Tokenizer.load(spec.checkpoint.folder)
    try:
        tokenizer.save(folder)
        shutil.copyfile(log, folder / LOG_FILE)
    except OSError as error:
        raise cannot_write(folder, error, CACHE_REMEDY) from error


def _facts(spec: EngineSpec, form: QuantFormat, plan: PlannedBuild) -> BuildFacts:
    recipe = spec.recipe
    loaded = {item.flag: item.value for item in plan.execution}
    weights = form.dtype if form.quant_algo is None else recipe.weights
    return BuildFacts(
        runtime={**loaded, "opt_num_tokens": plan.value("--opt_num_tokens")},
        precision=precision(form, recipe),
        weight_types=tuple(sorted({weights, form.dtype})),
        group_size=form.group_size if form.is_grouped else None,
        num_prompts=0 if spec.calibration is None else len(spec.calibration.prompts),
    )
