"""guidellm's benchmarks.json: requests to a language model, each with its latencies, or their statistics alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.measure.catalogue import Kind, Metric
from harness.results.foreign.benchmark import Benchmark, needs

# Of each successful request: its key in the file, the metric, and what one of its values is in ours. guidellm's time
# per output token counts the first token in, or did not in its first releases, so it is not taken as ours.
_OF_A_REQUEST: Mapping[str, tuple[Metric, float]] = {
    "request_latency": (Metric("llm.e2e_ms", "ms", "histogram", "lower", "a request from its start to its end"), 1e3),
    "time_to_first_token_ms": (Metric("llm.ttft_ms", "ms", "histogram", "lower", "time to the first token"), 1.0),
    "inter_token_latency_ms": (
        Metric("guidellm.itl_ms", "ms", "histogram", "lower", "mean gap between the tokens of one request"),
        1.0,
    ),
    "output_tokens_per_second": (
        Metric("guidellm.output_tokens_per_s", "1/s", "histogram", "higher", "output tokens over latency, a request"),
        1.0,
    ),
    "prompt_tokens": (Metric("guidellm.prompt_tokens", "1", "histogram", "none", "tokens of the prompt"), 1.0),
    "output_tokens": (Metric("guidellm.output_tokens", "1", "histogram", "none", "tokens of the answer"), 1.0),
}
_STATED = ("mean", "median", "std_dev", "min", "max")
_REQUESTS_PER_S = Metric("guidellm.requests_per_s", "1/s", "gauge", "higher", "successful requests a second, the mean")


def is_ours(found: Any) -> bool:
    """Whether this is a file of guidellm."""
    each = found.get("benchmarks") if isinstance(found, Mapping) else None
    return isinstance(each, list) and bool(each) and "request_latency" in ((each[0] or {}).get("metrics") or {})


def benchmarks(found: Mapping[str, Any], written_at: float) -> Iterator[Benchmark]:
    """One benchmark for each load that guidellm tried.

    Raises:
        RefusedError: the file is damaged.
    """
    for number, each in enumerate(found["benchmarks"]):
        place = f"benchmarks.{number}"
        stated = needs(each, "metrics", dict, place)
        requests = each.get("requests") or {}
        done = [one for one in requests.get("successful") or [] if isinstance(one, Mapping)]
        metrics = _of_requests(done) or _of_statistics(stated)
        rate = _successful(stated, "requests_per_second").get("mean")
        if isinstance(rate, int | float):
            metrics[_REQUESTS_PER_S.name] = (_REQUESTS_PER_S, [float(rate)])
        started, ended = _span(each, written_at)
        strategy = _strategy(each)
        yield Benchmark(
            name=f"guidellm-{strategy.get('type_') or number}",
            started_at=started,
            duration_s=max(0.0, ended - started),
            metrics=metrics,
            config={"strategy": strategy, "number": number},
            environment={},
            model=_model(found, each),
            failed=len(requests.get("errored") or []),
            warnings=list(_warnings(stated, done)),
        )


def _of_requests(done: list[Mapping[str, Any]]) -> dict[str, tuple[Metric, list[float]]]:
    found = {}
    for key, (metric, scale) in _OF_A_REQUEST.items():
        values = [scale * one[key] for one in done if isinstance(one.get(key), int | float)]
        if values:
            found[metric.name] = (metric, values)
    return found


def _of_statistics(stated: Mapping[str, Any]) -> dict[str, tuple[Metric, list[float]]]:
    """What is left where the requests were not kept: each statistic as a number of its own."""
    kind: Kind = "gauge"
    found = {}
    for key, (metric, scale) in _OF_A_REQUEST.items():
        for name, value in _successful(stated, key).items():
            if name in _STATED and isinstance(value, int | float):
                better = "none" if name == "std_dev" else metric.better
                own = Metric(f"{metric.name}.{name}", metric.unit, kind, better, f"{metric.meaning}: {name}")
                found[own.name] = (own, [scale * value])
    return found


def _successful(stated: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = (stated.get(key) or {}).get("successful")
    return found if isinstance(found, Mapping) else {}


def _warnings(stated: Mapping[str, Any], done: list[Mapping[str, Any]]) -> Iterator[str]:
    counted = _successful(stated, "request_latency").get("count")
    if not done:
        yield "the file keeps no single requests: each metric is a statistic that the file states, n=1"
    elif isinstance(counted, int) and counted > len(done):
        yield f"the file keeps {len(done)} of {counted} successful requests"
    yield "guidellm keeps no host"


def _span(each: Mapping[str, Any], written_at: float) -> tuple[float, float]:
    """When it began and ended, from where its releases have put it."""
    for place in (each, each.get("run_stats") or {}, each.get("scheduler_metrics") or {}):
        start, end = place.get("start_time"), place.get("end_time")
        if isinstance(start, int | float) and isinstance(end, int | float) and start > 0:
            return float(start), float(end)
    return written_at, written_at


def _strategy(each: Mapping[str, Any]) -> Mapping[str, Any]:
    for place in (each.get("config") or {}, each.get("args") or {}, each.get("scheduler") or {}):
        found = place.get("strategy") if isinstance(place, Mapping) else None
        if isinstance(found, Mapping):
            return {key: value for key, value in found.items() if isinstance(value, str | int | float | None)}
    return {}


def _model(found: Mapping[str, Any], each: Mapping[str, Any]) -> str | None:
    for place in (found.get("args"), (each.get("worker") or {}), each.get("benchmarker"), each.get("config")):
        if isinstance(place, Mapping):
            for key in ("model", "backend_model"):
                if isinstance(place.get(key), str):
                    return str(place[key])
    return None
