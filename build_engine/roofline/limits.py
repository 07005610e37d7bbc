"""How fast a device can be at best, and how fast it is at a given efficiency.

Seconds of a request, with t_c = linear / peak + other / peak16 (`work.py`), W the bytes of weights
that an iteration reads, B the requests at once, BW the bandwidth, O the tokens of an answer:

- t_m = ((O - 1) W / B + KV bytes) / BW: iterations of the answer share their reading of weights;
- overlap limit 1 / max(t_c, t_m): arithmetic and traffic hide each other wholly;
- serial limit 1 / (t_c + t_m): they never do (Williams et al. 2009, "Roofline", has the first).

At efficiency e of the arithmetic, a request keeps the device busy for u = t_c / e + KV bytes / BW,
with BW what of the bandwidth many requests share (`Efficiency.shared_bandwidth`):

- Offline: 1 / (u + (O - 1) W / (B BW));
- a rate r makes an iteration last (W / BW + t0) / (1 - r u), t0 the host's part; it must stay below
  the limit of TPOT, so r <= (1 - (W / BW + t0) / TPOT) / u;
- at that rate r (O - 1) x iteration requests are in flight, at most B: r <= B / ((O - 1)(W / BW +
  t0) + B u).
"""

from __future__ import annotations

from dataclasses import dataclass

from build_engine.roofline.costs import Overhead
from build_engine.roofline.rate import Rate as ProductRate
from build_engine.roofline.work import Lengths, Work

HOST_S = 0.002
"""t0, the host's part of an iteration, in seconds: an assumption."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What of the peaks is reached: of the arithmetic and of the bandwidth, 0 to 1."""

    compute: float = 1.0
    bandwidth: float = 1.0
    """By a request that is alone."""
    overhead: Overhead | None = None
    """What steps cost beside them, where that was measured."""

    @property
    def shared_bandwidth(self) -> float:
        """The same by many requests at once. Where steps were measured it is what all together get;
        the efficiencies of the arithmetic of published results were reckoned with the whole
        bandwidth (`Roofline.efficiency`), so what is lost of it is in them already.
        """
        return self.bandwidth if self.overhead else 1.0


IDEAL = Efficiency()


@dataclass(frozen=True, slots=True)
class Rate:
    """Queries a second that latency limits and memory allow, and which of them binds: memory, TTFT
    or TPOT. `wanted` are the requests in flight that the latency limits alone would allow.
    """

    queries_per_s: float
    bound: str
    wanted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """The limits of one engine on one device. Peaks in FLOP/s and bytes/s."""

    work: Work
    lengths: Lengths
    step_bytes: float
    """Weights that an iteration reads."""
    kv_token_bytes: float
    """Bytes of the cache for one token."""
    linear_peak: float
    other_peak: float
    bandwidth: float
    requests: int
    """Requests at once, 0 where none fits."""
    few: tuple[ProductRate, ProductRate] | None = None
    """FLOP/s of both by how many tokens are multiplied at once, where that was measured: an answer
    has one in each iteration.
    """

    @property
    def prompt_s(self) -> float:
        """Seconds of arithmetic for a prompt."""
        return self._seconds(self.work.prompt_linear, self.work.prompt_other)

    @property
    def answer_s(self) -> float:
        """Seconds of arithmetic for an answer, of which an iteration has a token for each of the
        requests at once.
        """
        return self._answer_s(self.requests)

    @property
    def compute_s(self) -> float:
        """t_c: seconds of arithmetic for a request."""
        return self.prompt_s + self.answer_s

    @property
    def kv_s(self) -> float:
        """Seconds in which a request's cache is read and written."""
        return self.work.kv_tokens * self.kv_token_bytes / self.bandwidth

    @property
    def weights_s(self) -> float:
        """Seconds in which an iteration reads the weights."""
        return self.step_bytes / self.bandwidth

    @property
    def memory_s(self) -> float:
        """t_m: seconds of memory traffic for a request, its part of the weights included; infinite
        where none fits.
        """
        if not self.requests:
            return float("inf")
        return (self.lengths.answer - 1) * self.weights_s / self.requests + self.kv_s

    @property
    def overlap_limit(self) -> float:
        """Requests a second, at most."""
        return 1 / max(self.compute_s, self.memory_s)

    @property
    def serial_limit(self) -> float:
        """Requests a second where arithmetic and traffic take turns."""
        return 1 / (self.compute_s + self.memory_s)

    def offline(self, reached: Efficiency) -> float:
        """Requests a second where all are there from the start."""
        if not self.requests:
            return 0.0
        seconds = self.compute_s / reached.compute + self.memory_s / reached.shared_bandwidth
        return 1 / (seconds + self._overhead_s(reached, self.requests))

    def efficiency(self, per_second: float) -> float:
        """The efficiency of the arithmetic at which `offline` gives so many requests a second.
        Raises ValueError for a rate that the memory alone does not allow.
        """
        left = 1 / per_second - self.memory_s
        if left <= 0:
            raise ValueError(f"{per_second:g} requests/s are more than the memory allows")
        return self.compute_s / left

    def ttft_s(self, reached: Efficiency = IDEAL) -> float:
        """Seconds until the first token of a mean prompt that is alone."""
        arithmetic_s, traffic_s = (
            self.prompt_s / reached.compute,
            self.weights_s / reached.bandwidth,
        )
        cost = reached.overhead
        if cost is None:
            return max(arithmetic_s, traffic_s)
        return arithmetic_s + traffic_s + cost.iteration_s + self._prompt_cost_s(cost)

    def tpot_s(self, reached: Efficiency = IDEAL) -> float:
        """Seconds of each further token of a request that is alone."""
        cached = self.lengths.prompt + self.lengths.answer / 2
        traffic_s = (self.step_bytes + cached * self.kv_token_bytes) / self.bandwidth
        arithmetic_s = self._answer_s(1) / max(self.lengths.answer - 1, 1)
        cost = reached.overhead
        if cost is None:  # of a datasheet's peaks the arithmetic of one token is next to nothing
            return max(traffic_s / reached.bandwidth, arithmetic_s if self.few else 0.0)
        beside_s = cost.iteration_s + cost.answer_token_s + cached * cost.cached_token_s
        return traffic_s / reached.bandwidth + arithmetic_s / reached.compute + beside_s

    def latency_s(self, reached: Efficiency = IDEAL) -> float:
        """Seconds of a whole answer to a request that is alone."""
        return self.ttft_s(reached) + (self.lengths.answer - 1) * self.tpot_s(reached)

    def rate(self, reached: Efficiency, ttft_s: float, tpot_s: float) -> Rate:
        """The greatest rate of arrivals within limits on the time to the first token and on each
        further one.
        """
        if self.ttft_s(reached) > ttft_s:
            return Rate(0.0, "TTFT", 0.0)
        cost, shared = reached.overhead, reached.shared_bandwidth
        busy_s = self.compute_s / reached.compute + self.kv_s / shared
        busy_s += self._request_cost_s(cost) if cost else 0.0
        step_s = self.weights_s / shared + (cost.iteration_s if cost else HOST_S)
        later = self.lengths.answer - 1
        by_latency = max(0.0, (1 - step_s / tpot_s) / busy_s)
        wanted = by_latency * later * tpot_s
        if wanted <= self.requests:
            return Rate(by_latency, "TPOT", wanted)
        by_memory = self.requests / (later * step_s + self.requests * busy_s)
        return Rate(by_memory, "memory", wanted)

    def iteration_s(self, tokens: int, reached: Efficiency) -> float:
        """Seconds of an iteration over so many tokens of prompts, in which no answer goes on."""
        products_s = self._seconds(self.work.prompt_linear, 0) * tokens / self.lengths.prompt
        return self.weights_s / reached.shared_bandwidth + products_s / reached.compute

    def step_peaks(self, tokens: int) -> tuple[float, float]:
        """FLOP/s of linear layers and of the rest, of so many tokens at once."""
        if self.few is None:
            return self.linear_peak, self.other_peak
        return self.few[0].at(tokens), self.few[1].at(tokens)

    def _seconds(self, linear: float, other: float) -> float:
        return linear / self.linear_peak + other / self.other_peak

    def _answer_s(self, rows: int) -> float:
        linear, other = self.work.answer_linear, self.work.answer_other
        linear_peak, other_peak = self.step_peaks(rows)
        return linear / linear_peak + other / other_peak

    def _overhead_s(self, reached: Efficiency, requests: int) -> float:
        """Seconds of a request beside arithmetic and traffic, of so many at once."""
        cost = reached.overhead
        if cost is None:
            return 0.0
        steps_s = (self.lengths.answer - 1) * cost.iteration_s / requests
        return steps_s + self._request_cost_s(cost)

    def _request_cost_s(self, cost: Overhead) -> float:
        """Its part that is the same however many there are at once."""
        answer_s = self.lengths.answer * cost.answer_token_s
        return self._prompt_cost_s(cost) + answer_s + self.work.kv_tokens * cost.cached_token_s

    def _prompt_cost_s(self, cost: Overhead) -> float:
        return self.lengths.prompt * cost.prompt_token_s
