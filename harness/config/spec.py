"""What a run is to do, as frozen data: the composed and checked configuration with names and types."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.config.composed import Composed
from harness.config.redact import redact, secrets_of
from harness.results.canonical import digest


@dataclass(frozen=True)
class Measure:
    """How often the work is done, how long the whole run may take, and how exact it must be."""

    warmup: int
    iterations: int
    timeout_s: float
    # Configurations stored before these keys existed do not have them.
    error_share_limit: float = 0.05  # of a metric's median; beyond, the instrument's own error forbids a judgement
    canary: bool = False  # a reference workload is timed after each iteration


@dataclass(frozen=True)
class WorkerStart:
    """How the measured process is started."""

    start: Literal["fork", "fresh", "portable"]
    preload: tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """What ends a run early."""

    memory_mb: float | None


@dataclass(frozen=True)
class Affinity:
    """Where and with which priority the measured process runs."""

    threads: int | None  # None: as the environment has it
    cpus: tuple[int, ...] | None
    nice: int


@dataclass(frozen=True)
class Telemetry:
    """What is sampled from outside, and how often."""

    level: Literal["full", "light", "disabled"]
    interval_s: float
    progress_s: float  # between two events that say how far the run is


@dataclass(frozen=True)
class Lock:
    """Whether other measurements may run on this host, and how long to wait for them."""

    mode: Literal["exclusive", "shared"]
    wait_s: float


@dataclass(frozen=True)
class RunSpec:
    """One run: made from a configuration without problems, and never changed afterwards."""

    scenario: str
    target: str
    device: str
    model: str | None
    measure: Measure
    worker: WorkerStart
    limits: Limits
    affinity: Affinity
    telemetry: Telemetry
    lock: Lock
    rules: tuple[Mapping[str, Any], ...]
    metrics: Mapping[str, Mapping[str, Any]]
    seed: int
    deterministic: bool
    strict: bool
    tags: tuple[str, ...]
    suite: str | None
    suite_timeout_s: float | None
    experiment: str | None
    choices: Mapping[str, str | None]
    overrides: tuple[str, ...]  # as typed; redact before storing
    config: Mapping[str, Any]  # with its secrets, for the worker
    stored_config: Mapping[str, Any]  # without them, for everything that is kept or shown
    digest: str  # of the stored configuration, so that a reader of the result can check it
    secrets: frozenset[str]

    @classmethod
    def from_composed(cls, composed: Composed, environ: Mapping[str, str] | None = None) -> "RunSpec":
        """The run that a checked configuration asks for; `environ` is where secrets are looked up."""
        config = composed.config
        secrets = secrets_of(config, os.environ if environ is None else environ)
        stored = redact(config, secrets)
        return cls(
            scenario=_scenario_name(composed),
            target=config["scenario"]["_target_"],
            device=config["device"]["kind"],
            model=composed.choices.get("model") or composed.choices.get("llm"),
            measure=Measure(**config["measure"]),
            worker=WorkerStart(config["worker"]["start"], tuple(config["worker"]["preload"])),
            limits=Limits(**config["limits"]),
            affinity=_affinity(config["affinity"]),
            telemetry=Telemetry(**config["telemetry"]),
            lock=Lock(**config["lock"]),
            rules=tuple((config.get("threshold") or {}).get("rules") or ()),
            metrics=config["metrics"],
            seed=config["seed"],
            deterministic=config["deterministic"],
            strict=config["strict"],
            tags=tuple(config["tags"]),
            suite=config["suite"],
            suite_timeout_s=config["suite_timeout_s"],
            experiment=config["experiment"],
            choices=composed.choices,
            overrides=tuple(composed.overrides),
            config=config,
            stored_config=stored,
            digest=digest(stored),
            secrets=secrets,
        )


def _affinity(node: Mapping[str, Any]) -> Affinity:
    cpus = node["cpus"]
    return Affinity(node["threads"], None if cpus is None else tuple(cpus), node["nice"])


def _scenario_name(composed: Composed) -> str:
    """The option's name; the last part of the target where the scenario was written without an option."""
    chosen = composed.choices.get("scenario")
    if chosen and chosen != "none":
        return chosen
    return str(composed.config["scenario"]["_target_"]).rpartition(".")[2]
