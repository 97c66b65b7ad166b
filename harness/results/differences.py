"""In what the arms of a comparison differ besides what was measured, and what of it forbids a judgement."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.gates.pressure import PRESSURE_LIMIT_PERCENT, pressure_percent
from harness.results.arms import Arm

# Parts of the configuration that say how a run is found, shown or judged, not what is measured.
_ASIDE = {"hydra", "tags", "suite", "suite_timeout_s", "experiment", "strict", "metrics", "threshold", "sink", "alert"}
_DIGEST = "config_digest"
_SURROUNDINGS = ("commit", "kernel", "os", "python", "libraries.", "host.")
_HOST_FACTS = ("cpu", "cores", "memory_gib", "machine", "hostname")


def differences(base: Arm, candidate: Arm, factors: Sequence[str]) -> list[dict[str, Any]]:
    """Every fact in which the two differ, the declared factors first: key, both values, whether it is declared."""
    ours, theirs = _facts(base), _facts(candidate)
    if base.baseline or candidate.baseline:  # which keeps the digest of its configuration only
        ours, theirs = _short(ours), _short(theirs)
    else:
        ours, theirs = ({key: facts[key] for key in facts if key != _DIGEST} for facts in (ours, theirs))
    found = [
        {"key": key, "base": ours.get(key), "candidate": theirs.get(key), "declared": _is_declared(key, factors)}
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
    return sorted(found, key=lambda difference: (not difference["declared"], difference["key"]))


def undeclared(factors: Sequence[str], found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The declared factors in which nothing differs: a slip of the pen, or a change that did not reach the run."""
    return [factor for factor in factors if not any(_is_declared(each["key"], [factor]) for each in found)]


def obstacles(base: Arm, candidate: Arm, factors: Sequence[str]) -> list[str]:
    """Why nothing can be judged between the two, as sentences; empty when it can."""
    found = [reason for arm in (base, candidate) for reason in _own(arm)]
    names = {document["scenario"] for arm in (base, candidate) for document in arm.documents}
    if len(names) > 1 and "scenario" not in factors:
        found.append(f"they measured different scenarios: {', '.join(sorted(names))} (--factor scenario allows it)")
    if not _same_host(base, candidate, "device" in factors):
        found.append("they were measured on different hosts or devices, whose times do not compare")
    return list(dict.fromkeys(found))


def after_one_another(base: Arm, candidate: Arm) -> bool:
    """Whether one arm was measured wholly before the other, so that a host that changed in between looks the same."""
    if base.baseline or candidate.baseline:
        return True
    ours = [document["started_at"] for document in base.documents]
    theirs = [document["started_at"] for document in candidate.documents]
    return bool(max(ours) < min(theirs) or max(theirs) < min(ours))


def other_outcome(base: Arm, candidate: Arm, found: Sequence[Mapping[str, Any]]) -> bool:
    """Whether losses or tokens differ although the configuration is the same."""
    if any(not each["key"].startswith(_SURROUNDINGS) for each in found):
        return False
    outcomes = {_outcome(document) for arm in (base, candidate) for document in arm.documents}
    return len(outcomes - {None}) > 1


def _outcome(document: Mapping[str, Any]) -> str | None:
    found = document["outcome"] if "outcome" in document else document["digests"].get("outcome")
    return found if isinstance(found, str) else None


def _own(arm: Arm) -> Iterator[str]:
    if arm.baseline:
        return
    for document in arm.documents:
        if document["status"] != "completed":
            yield f"{document['run_id']} is {document['status']}"
        if document["contended"]:
            yield f"{document['run_id']} is contended: other runs were measured on its host at the same time"
        pressure = pressure_percent(document)
        if pressure is not None and pressure > PRESSURE_LIMIT_PERCENT:
            limit = f"{PRESSURE_LIMIT_PERCENT:g} %"
            yield f"the host of {document['run_id']} was not quiet: CPU pressure {pressure:.0f} %, over {limit}"


def _same_host(base: Arm, candidate: Arm, other_device: bool) -> bool:
    """By fingerprint; where the device is the factor, by what else the fingerprint is made of."""
    documents = [*base.documents, *candidate.documents]
    found = [_machine(document) if other_device else _fingerprint(document) for document in documents]
    return None not in found and len(set(found)) == 1


def _fingerprint(document: Mapping[str, Any]) -> str | None:
    place = document["host"] if "host" in document else document["environment"]
    found = place.get("fingerprint")
    return found if isinstance(found, str) else None


def _machine(document: Mapping[str, Any]) -> tuple[Any, ...] | None:
    if "environment" not in document:
        return None
    facts = _host(document["environment"])
    return None if facts["cpu"] is None else tuple(facts[name] for name in _HOST_FACTS)


def _host(environment: Mapping[str, Any]) -> dict[str, Any]:
    cpu, memory_mb = environment.get("cpu") or {}, environment.get("memory_mb")
    return {
        "cpu": cpu.get("model"),
        "cores": cpu.get("cores"),
        "memory_gib": round(memory_mb / 1024) if isinstance(memory_mb, int | float) else None,
        "machine": environment.get("machine"),
        "hostname": environment.get("hostname"),
    }


def _facts(arm: Arm) -> dict[str, Any]:
    """The facts of the arm; where its runs differ among themselves, all values."""
    each = [dict(_facts_of(document)) for document in arm.documents]
    found: dict[str, Any] = {}
    for key in {key for facts in each for key in facts}:
        values = list(dict.fromkeys(str(facts.get(key)) for facts in each))
        found[key] = each[-1].get(key) if len(values) == 1 else " | ".join(values)
    return found


def _facts_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ("scenario", "device", "model"):
        yield key, document[key]
    if "environment" not in document:
        yield _DIGEST, document["config_digest"]
        return
    yield _DIGEST, document["digests"]["config"]
    config = {key: value for key, value in document["config"].items() if key not in _ASIDE}
    for key, value in _leaves(config, ""):
        if key not in ("scenario", "device", "model"):
            yield key, value
    environment = document["environment"]
    git = environment.get("git") or {}
    yield "commit", git.get("commit")
    yield "commit.dirty", git.get("dirty") if isinstance(git.get("dirty"), bool) else None
    for key in ("kernel", "os"):
        yield key, environment.get(key)
    yield "python", (environment.get("python") or {}).get("version")
    for name, version in (environment.get("libraries") or {}).items():
        yield f"libraries.{name}", version
    yield from ((f"host.{key}", value) for key, value in _host(environment).items())


def _leaves(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{place}.{key}" if place else str(key))
    else:
        yield place, node


def _short(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: facts.get(key) for key in ("scenario", "device", "model", _DIGEST)}


def _is_declared(key: str, factors: Sequence[str]) -> bool:
    return any(key == factor or key.startswith(f"{factor}.") for factor in factors)
