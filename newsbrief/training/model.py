"""The Llama architecture in plain PyTorch, in the shape of the bundled checkpoint.

Parameter names are those of Hugging Face's LlamaForCausalLM, so a state dict can be exchanged.
Types are checked without PyTorch: its classes are then Any, hence the ignored complaints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 4_096,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 2_048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 512,
    },
    "tie_word_embeddings": True,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "initializer_range": 0.02,
    "pretraining_tp": 1,
    "use_cache": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "torch_dtype": "bfloat16",
}
HIDDEN, FEED_FORWARD, NUM_LAYERS, VOCABULARY = 256, 768, 4, 4_096
NUM_HEADS, NUM_KV_HEADS, HEAD_DIM = 4, 2, 64
MAX_POSITIONS = 512  # the longest training sequence; the tables are longer in inference engines


def rope_frequencies() -> Tensor:
    """Angles per position, [HEAD_DIM / 2], with the "llama3" stretching of slow rotations.

    Slower than `low` turns in the original context: divided by the factor. Faster than `high`:
    kept. In between: blended in proportion.
    """
    factor, low, high, original = 4.0, 1.0, 4.0, 512
    inverse = 10_000.0 ** -(torch.arange(0, HEAD_DIM, 2, dtype=torch.float32) / HEAD_DIM)
    turns = original * inverse / (2 * math.pi)
    share_kept = ((turns - low) / (high - low)).clamp(0, 1)
    return inverse * share_kept + inverse / factor * (1 - share_kept)


class RmsNorm(nn.Module):  # type: ignore[misc]
    """Root-mean-square normalisation with a learned scale."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (HIDDEN,), self.weight, 1e-5)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding; x is [batch, heads, positions, HEAD_DIM], halves are the pairs."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):  # type: ignore[misc]
    """Causal self-attention; two query heads share each key and value head."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj = nn.Linear(HIDDEN, NUM_HEADS * HEAD_DIM, bias=False)
        self.k_proj = nn.Linear(HIDDEN, NUM_KV_HEADS * HEAD_DIM, bias=False)
        self.v_proj = nn.Linear(HIDDEN, NUM_KV_HEADS * HEAD_DIM, bias=False)
        self.o_proj = nn.Linear(NUM_HEADS * HEAD_DIM, HIDDEN, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, NUM_HEADS, HEAD_DIM).transpose(1, 2)
        k = self.k_proj(x).view(batch, length, NUM_KV_HEADS, HEAD_DIM).transpose(1, 2)
        v = self.v_proj(x).view(batch, length, NUM_KV_HEADS, HEAD_DIM).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = k.repeat_interleave(2, dim=1), v.repeat_interleave(2, dim=1)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(batch, length, HIDDEN))
        return out


class FeedForward(nn.Module):  # type: ignore[misc]
    """SwiGLU."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(HIDDEN, FEED_FORWARD, bias=False)
        self.up_proj = nn.Linear(HIDDEN, FEED_FORWARD, bias=False)
        self.down_proj = nn.Linear(FEED_FORWARD, HIDDEN, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):  # type: ignore[misc]
    """One transformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = Attention()
        self.mlp = FeedForward()
        self.input_layernorm = RmsNorm()
        self.post_attention_layernorm = RmsNorm()

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, rows: Tensor | None = None) -> Tensor:
        """With `rows`, only those of the flattened positions are returned: [n, HIDDEN]."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        if rows is not None:
            x = x.flatten(0, 1)[rows]
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Body(nn.Module):  # type: ignore[misc]
    """Everything but the output projection, which is the embedding table again."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, HIDDEN)
        self.layers = nn.ModuleList(Layer() for _ in range(NUM_LAYERS))
        self.norm = RmsNorm()


class Llama(nn.Module):  # type: ignore[misc]
    """Token ids [batch, length] to final hidden states [n, HIDDEN] at the n `positions`.

    Positions count through the flattened batch; what the last layer would compute for the others
    is never needed and left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.model = Body()
        angles = torch.outer(torch.arange(MAX_POSITIONS), rope_frequencies()).repeat(1, 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                is_output = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * NUM_LAYERS) if is_output else 0.02)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        length = ids.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers[:-1]:
            x = layer(x, cos, sin)
        x = self.model.layers[-1](x, cos, sin, positions)
        out: Tensor = self.model.norm(x)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores [..., VOCABULARY] of hidden states [..., HIDDEN]."""
        return hidden @ self.model.embed_tokens.weight.T
