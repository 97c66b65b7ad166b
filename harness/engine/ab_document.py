"""The document of a comparison: what was measured, what it says, and what a reader should know beside that."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.config.redact import redact
from harness.config.spec import RunSpec
from harness.engine import device
from harness.engine.pairs import NULL, Pair
from harness.gates.decide.chunks import log_ratios
from harness.gates.decide.decision import Verdict, decide
from harness.gates.decide.design import Design
from harness.gates.decide.noise import noise_of
from harness.gates.decide.series import drift, outliers, slow_start
from harness.measure import checkout, environment
from harness.measure.catalogue import Metric
from harness.process.children import output_of
from harness.results.canonical import clean, digest
from harness.results.times import now

SCHEMA = "harness.ab/1"
Kind = Literal["ab", "noise"]
Stage = Literal["short", "more", "confirm"]
_MAIN: tuple[Stage, ...] = ("short", "more")


@dataclass(frozen=True)
class Side:
    """One of the two things compared: as it was asked for, and as it is run."""

    said: str
    spec: RunSpec
    path: tuple[str, ...] = ()
    checkout: Path | None = None


@dataclass
class Measured:
    """Everything that a comparison has measured so far."""

    ab_id: str
    kind: Kind
    a: Side
    b: Side
    design: Design
    metric: Metric
    seed: int
    pairs: dict[Stage, list[Pair]] = field(default_factory=lambda: {"short": [], "more": [], "confirm": []})
    rounds: int = 0
    cancelled: bool = False
    started_at: str = ""
    duration_s: float = 0.0
    quietness: Mapping[str, Any] = field(default_factory=dict)

    def chunks(self, pair: Pair, arm: str = "B") -> list[float]:
        """The log ratios of a pair's chunks: how much worse this arm is than A."""
        higher = self.metric.better == "higher"
        return log_ratios(pair.values["A"], pair.values[arm], self.design.chunk, higher_is_better=higher)

    def ratios(self, *stages: Stage, arm: str = "B") -> list[list[float]]:
        """The same of every pair of these stages."""
        return [self.chunks(pair, arm) for stage in stages for pair in self.pairs[stage]]

    def effect(self, pair: Pair, arm: str = "B") -> float:
        """What one pair shows, as a share; no pair decides anything alone."""
        return decide([self.chunks(pair, arm)], self.design).estimate

    @property
    def secrets(self) -> frozenset[str]:
        """What must not be kept."""
        return self.a.spec.secrets | self.b.spec.secrets


def build(measured: Measured, command: Sequence[str]) -> dict[str, Any]:
    """The whole document with its decisions, messages and digest."""
    metric, design, spec = measured.metric, measured.design, measured.a.spec
    decisions = _decisions(measured)
    level, reason = _verdict(measured, decisions)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "ab_id": measured.ab_id,
        "kind": measured.kind,
        "scenario": spec.scenario,
        "metric": {"name": metric.name, "unit": metric.unit, "better": metric.better},
        "status": "cancelled" if measured.cancelled else "completed",
        "verdict": {"level": level, "reason": reason, "strict": spec.strict},
        "exit_code": _exit_code(measured, level),
        "started_at": measured.started_at,
        "finished_at": now(),
        "duration_s": measured.duration_s,
        "command": redact(list(command), measured.secrets),
        "arms": {"A": _side(measured.a), "B": _side(measured.b)},
        "differences": differences(spec.stored_config, measured.b.spec.stored_config),
        "design": {**asdict(design), "rounds_done": measured.rounds, "seed": measured.seed},
        **{name: None if found is None else found.as_dict() for name, found in decisions.items()},
        "pairs": [_pair(measured, stage, pair) for stage, found in measured.pairs.items() for pair in found],
        "findings": _findings([pair for found in measured.pairs.values() for pair in found]),
        "contended": spec.lock.mode == "shared",
        "quietness": measured.quietness,
        "environment": environment.capture(device.resolve(spec.device), run=output_of),
    }
    document = clean({**document, "messages": messages(document)})
    return {**document, "digest": digest(document)}


def percent(share: float) -> str:
    """A share as a percentage with its sign."""
    return f"{100 * share:+.2f} %"


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the two configurations do not share: each key with both values, None where one has no such key."""
    flat_a, flat_b = dict(_leaves(a)), dict(_leaves(b))
    return [
        {"key": key, "a": flat_a.get(key), "b": flat_b.get(key)}
        for key in dict.fromkeys([*flat_a, *flat_b])
        if flat_a.get(key) != flat_b.get(key)
    ]


def _leaves(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{place}.{key}" if place else str(key))
    else:
        yield place, node


def _decisions(measured: Measured) -> dict[str, Any]:
    main, confirm = measured.ratios(*_MAIN), measured.ratios("confirm")
    has_null = all(NULL in pair.values for pair in measured.pairs["short"])
    null = measured.ratios(*_MAIN, arm=NULL) if has_null else []
    design = measured.design
    return {
        "short_stage": decide(measured.ratios("short"), design),
        "decision": decide(main, design),
        "confirmation": decide(confirm, design) if confirm else None,
        "null": decide(null, design) if null else None,
        "noise": noise_of(main, design) if measured.kind == "noise" and len(main) > 1 else None,
    }


def _verdict(measured: Measured, decisions: Mapping[str, Any]) -> tuple[Verdict, str]:
    decision, null, confirmation = (decisions[name] for name in ("decision", "null", "confirmation"))
    if measured.cancelled:
        return "undecided", "the comparison was cancelled before it was complete"
    if null is not None and null.verdict in ("slower", "faster"):
        return "undecided", f"A against itself was called {null.verdict}: this host cannot carry a verdict now"
    if confirmation is not None and confirmation.verdict != "slower":
        return "undecided", f"it was slower once, and the confirming run said {confirmation.verdict}"
    if decision.verdict == "slower" and confirmation is not None:
        return "slower", f"{decision.reason}; a second run with fresh processes confirmed it"
    return decision.verdict, decision.reason


def _exit_code(measured: Measured, level: Verdict) -> int:
    if measured.cancelled:
        return 130
    if measured.kind == "noise":
        return 0  # whatever it shows, nothing was to be judged
    return int(level == "slower" or (measured.a.spec.strict and level == "undecided"))


def _side(side: Side) -> dict[str, Any]:
    return {
        "said": redact(side.said, side.spec.secrets),
        "overrides": redact(list(side.spec.overrides), side.spec.secrets),
        "config_digest": side.spec.digest,
        "checkout": None if side.checkout is None else str(side.checkout),
        "git": checkout.describe(side.checkout or Path.cwd()),
    }


def _pair(measured: Measured, stage: Stage, pair: Pair) -> dict[str, Any]:
    return {
        "stage": stage,
        "estimate": measured.effect(pair),
        "values": {name: list(values) for name, values in pair.values.items()},
        "calls": dict(pair.calls),
        "pids": dict(pair.pids),
        "code": dict(pair.code),
        "duration_s": pair.duration_s,
        "pressure": pair.pressure,
    }


def _findings(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Of each arm: outliers by class, and in how many of its processes the times began slowly or drifted."""
    found = {}
    for name in pairs[0].values:
        series = [list(pair.values[name]) for pair in pairs]
        counts = [outliers(values) for values in series]
        starts = [cut for values in series if (cut := slow_start(values))]
        drifts = [each.share for values in series if (each := drift(values)).is_real]
        found[name] = {
            "processes": len(series),
            "outliers": {key: sum(count[key] for count in counts) for key in counts[0]},
            "slow_starts": len(starts),
            "slow_start_rounds": max(starts, default=0),
            "drifts": len(drifts),
            "largest_drift": max(drifts, key=abs, default=0.0),
        }
    return found


def messages(document: Mapping[str, Any]) -> list[str]:
    """What a reader should know beside the verdict: how sure it is, and what to try."""
    found = []
    if document["verdict"]["level"] == "undecided" and document["status"] == "completed":
        found.append(_advice(document["decision"]))
    after = document["quietness"]["after"]
    if after["quiet"] is False:
        found.append(f"the host was not quiet: {after['reason']}")
    if document["contended"]:
        found.append("contended: other runs may have been measured on this host at the same time")
    design = document["design"]
    if design["rounds_done"] < design["rounds"]:
        found.append(
            f"a pair had {design['rounds_done']} rounds instead of {design['rounds']}, to stay within "
            f"{design['budget_s']:g} s; a larger --budget gives more"
        )
    return found + [message for name, arm in document["findings"].items() for message in _of_arm(name, arm)]


def _advice(decision: Mapping[str, Any]) -> str:
    more = decision["more"]
    if more is None:
        return "no number of pairs that anyone would take shows the tolerance: quieten the host"
    if more:
        return f"take {more} more pairs: --pairs {decision['pairs'] + more} would show a change of the tolerance"
    return "as many pairs again may decide it: the effect lies close to the limit"


def _of_arm(name: str, arm: Mapping[str, Any]) -> Iterator[str]:
    """What most processes of an arm show; a single one may have met other work on the host."""
    most = arm["processes"] / 2
    if arm["slow_starts"] > most:
        yield (
            f"{name}: the first rounds of a process were slow, up to {arm['slow_start_rounds']} of them; "
            "a larger measure.warmup keeps them out"
        )
    if arm["drifts"] > most:
        yield (
            f"{name}: times drifted in {arm['drifts']} of {arm['processes']} processes, at most by "
            f"{percent(arm['largest_drift'])}; something fills up, heats up, or other work came and went"
        )
