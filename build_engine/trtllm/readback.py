"""What a compiled engine says of itself, against what was asked for.

`trtllm-build` changes what it is asked for without an error. Its config.json shows the values after
that, so it is read back: a difference that matters is an error that names the builder's rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from build_engine.errors import BuildFailed
from build_engine.fields import ABSENT
from build_engine.planned import Expected, Setting
from build_engine.trtllm.engine_config import read_engine_config
from build_engine.trtllm.facts import build_tool_facts
from build_engine.trtllm.form import WEIGHT_ONLY
from build_engine.trtllm.pin import PIN

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.store.spec import EngineSpec
    from build_engine.trtllm.algorithm import QuantFormat

Value: TypeAlias = str | int | float | bool | None

_PLUGINS = "build_config.plugin_config."
_REMEDY = "build it again, and send us that file if it says the same"

# Fields of BuildConfig, by their flags, that must be as asked; with the rule that changes them.
_SIZES = {
    "--max_batch_size": "",
    "--max_seq_len": "seq-len-from-positions",
    "--max_num_tokens": "tokens-reduced",
    "--opt_num_tokens": "opt-tokens-reduced",
    "--max_beam_width": "",
    "--kv_cache_type": "checkpoint-dtype",
}
_SWITCHES = {
    "--remove_input_padding": "",
    "--context_fmha": "",
    "--use_paged_context_fmha": "int8-kv-not-paged",
    "--use_fp8_context_fmha": "fp8-fmha-not-fp8",
    "--multiple_profiles": "",
}


def expectations(
    spec: EngineSpec, form: QuantFormat, settings: Sequence[Setting]
) -> tuple[Expected, ...]:
    """Every field that must be right, for an engine of `spec` from a checkpoint in `form`."""
    asked = {item.flag: item.value for item in settings}
    plugin_types = [asked["--gpt_attention_plugin"], form.dtype]
    head = None if asked["--gemm_plugin"] == "disable" else asked["--gemm_plugin"]
    return (
        Expected("version", (PIN.tensorrt_llm,)),
        *_model(spec.checkpoint.config, form, spec.limits.tensor_parallel),
        Expected("pretrained_config.logits_dtype", (asked["--logits_dtype"],)),
        *(Expected(_size(flag), (_plain(asked[flag]),), rule) for flag, rule in _SIZES.items()),
        *(
            Expected(_plugin(flag), (asked[flag] == "enable",), rule)
            for flag, rule in _SWITCHES.items()
        ),
        Expected(f"{_PLUGINS}tokens_per_block", (int(asked["--tokens_per_block"]),)),
        Expected(f"{_PLUGINS}dtype", (form.dtype,), "checkpoint-dtype"),
        Expected(f"{_PLUGINS}gpt_attention_plugin", tuple(plugin_types)),
        Expected(f"{_PLUGINS}gemm_plugin", (head,) if head is None else (head, form.dtype)),
        *_quantisation(form),
    )


def differences(config: Mapping[str, Any], expected: Sequence[Expected]) -> list[str]:
    """A sentence for each field that is not as it must be, with the rule that may have done it."""
    found = []
    for item in expected:
        value = config.get(item.field, ABSENT)
        if not any(_same(value, right) for right in item.values):
            wanted = " or ".join(_shown(right) for right in item.values)
            found.append(f"{item.field} is {_shown(value)} and not {wanted}{_because(item.rule)}")
    return found


def require_as_asked(folder: Path, expected: Sequence[Expected]) -> None:
    """Raise BuildFailed when the engine in `folder` is not what was asked for."""
    problems = differences(read_engine_config(folder, BuildFailed, _REMEDY).values, expected)
    if problems:
        more = f" ({len(problems) - 1} more differences)" if len(problems) > 1 else ""
        raise BuildFailed(
            f"trtllm-build made another engine than it was asked for: {problems[0]}{more}; the "
            "engine was discarded, and `enginebench doctor` compares the installed version with "
            f"{PIN.tensorrt_llm}."
        )


def _model(config: LlamaConfig, form: QuantFormat, parts: int) -> list[Expected]:
    model = "pretrained_config."
    found = [
        Expected(f"{model}architecture", ("LlamaForCausalLM",)),
        Expected(f"{model}dtype", (form.dtype,)),
        Expected(f"{model}num_hidden_layers", (config.num_layers,)),
        Expected(f"{model}num_key_value_heads", (config.num_kv_heads,)),
        Expected(f"{model}rotary_base", (config.rope_theta,)),
        Expected(f"{model}mapping.tp_size", (parts,)),
        Expected(f"{model}quantization.quant_algo", (form.quant_algo,)),
        Expected(f"{model}quantization.kv_cache_quant_algo", (form.kv_cache_quant_algo,)),
    ]
    if config.rope_scaling is not None:
        found.append(Expected(f"{model}rotary_scaling.factor", (config.rope_scaling.factor,)))
    return found


def _quantisation(form: QuantFormat) -> list[Expected]:
    """The kernels that the builder chooses by itself from the algorithm."""

    def plugin(name: str, on: bool, rule: str) -> Expected:
        return Expected(f"{_PLUGINS}{name}", ("auto", form.dtype) if on else (None,), rule)

    smooth = (form.quant_algo or "").endswith("_PLUGIN")
    return [
        plugin("smooth_quant_gemm_plugin", smooth, "smooth-quant-plugins"),
        plugin("rmsnorm_quantization_plugin", smooth, "smooth-quant-plugins"),
        Expected(f"{_PLUGINS}quantize_per_token_plugin", (smooth,), "smooth-quant-plugins"),
        plugin(
            "weight_only_quant_matmul_plugin", form.quant_algo in WEIGHT_ONLY, "weight-only-plugin"
        ),
        plugin("weight_only_groupwise_quant_matmul_plugin", form.is_grouped, "groupwise-plugin"),
    ]


def _same(value: Any, right: Value) -> bool:
    """Text without regard to case: older versions wrote `PAGED`. A bool is no number."""
    if isinstance(value, str) and isinstance(right, str):
        return value.lower() == right.lower()
    return value == right and isinstance(value, bool) == isinstance(right, bool)


def _shown(value: Any) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _because(rule: str) -> str:
    if not rule:
        return ""
    known = build_tool_facts().rule(rule)
    return f" (the builder's rule `{rule}`: {known.when}: {known.then})"


def _plain(text: str) -> Value:
    return int(text) if text.isdigit() else text


def _size(flag: str) -> str:
    return f"build_config.{flag.removeprefix('--')}"


def _plugin(flag: str) -> str:
    return f"{_PLUGINS}{flag.removeprefix('--')}"
