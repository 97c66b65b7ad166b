"""Turns overrides into plain data with Hydra, in this process, and turns whatever goes wrong into problems.

Hydra stops at the first mistake, prints by itself and exits. Here the options chosen are composed first, leaving out
those whose files are broken; then values are set one by one on a copy and interpolations resolved one by one: so all
mistakes come together, and the jobs of a sweep that share their options share the composition.
"""

import copy
import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from harness.config import failures, options
from harness.config.composed import Composed, Keys, Layer, Mode
from harness.config.locate import Locator
from harness.config.overrides import PRIMARY, Item, Read, parse, put, read, sweep_problem
from harness.config.redact import redact_problems, secrets_of
from harness.config.resolve import resolve
from harness.errors import Problem
from harness.paths import data

DECIDING = frozenset({("suite",), ("experiment",), ("hydra", "mode")})
CHOOSE = "add scenario=NAME; `python -m harness list` names them"


def allowed_cpus() -> list[int]:
    """The CPUs that this process may use, lowest first."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _host(what: str) -> int:
    """`${host:cpus}` and `${host:first_cpu}` of the YAML files."""
    return {"cpus": len(allowed_cpus()), "first_cpu": allowed_cpus()[0]}[what]


OmegaConf.register_new_resolver("host", _host, replace=True)


def compose(overrides: Sequence[str], config_dirs: Sequence[Path] = (), *, job: bool = False) -> Composed:
    """The configuration that these overrides ask for, with every problem met; never raises for what a person wrote.

    `job` says that the overrides are those of one job of a sweep, whatever `hydra.mode` the files ask for.
    """
    with _hydra():
        return Composer.over(config_dirs).compose(overrides, job=job)


def compose_all(overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> tuple[Composed, list[Composed]]:
    """The configuration itself and that of every run it stands for: of each job of a sweep, else of itself alone."""
    with _hydra():
        composer = Composer.over(config_dirs)
        whole = composer.compose(overrides)
        if whole.mode == "RUN":
            return whole, [whole]
        jobs, problems = composer.expand(overrides)
        whole = replace(whole, problems=whole.problems + problems)
        spoilt = composer.spoilt(overrides)
        return whole, [composer.compose(job, job=True, spoilt=spoilt) for job in jobs]


def expand(overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> list[list[str]]:
    """The overrides of every job, in the order in which Hydra's own sweeper runs them; one job where nothing sweeps."""
    with _hydra():
        composer = Composer.over(config_dirs)
        if composer.compose(overrides).mode == "RUN":
            return [list(overrides)]
        return composer.expand(overrides)[0]


def rewrite(overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> list[str]:
    """The overrides as `hydra.main` is to get them: values forced, patterns written out, the user's folders searched.

    What cannot be parsed passes unchanged; `compose` is the one that complains.
    """
    with _hydra():
        composer = Composer.over(config_dirs)
        swept = composer.swept(composer.read(overrides)).items
    names = {item.parsed.key_or_group for item in swept}
    lines = composer.search_path()
    given = set()
    for text in overrides:
        try:
            item = parse(text, composer.groups)
        except Exception:  # Hydra's grammar raises many kinds
            lines.append(text)
            continue
        given.add(item.parsed.key_or_group)
        # the sweeper tells its own parameters and overrides apart by their spelling, so they must be spelt alike
        lines.append(item.text.lstrip("+") if item.parsed.key_or_group in names else item.rewritten)
    return lines + [item.text for item in swept if item.text != item.typed and item.parsed.key_or_group not in given]


def adopt(config: DictConfig, config_dirs: Sequence[Path] = ()) -> Composed:
    """The same for a configuration that Hydra composed itself, inside a job that `hydra.main` started."""
    composer = Composer.over(config_dirs)
    task: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    given = composer.read([text.removeprefix("++") for text in task])  # as it was typed
    whole = config.copy()
    OmegaConf.set_struct(whole, False)
    whole["hydra"] = {"runtime": {"choices": dict(HydraConfig.get().runtime.choices)}, "mode": None}
    return composer.finish(whole, given, [], job=True)


def trace(config_dirs: tuple[Path, ...], lines: tuple[str, ...]) -> list[Layer]:
    """The files that these choices merge, in order, each with the key path that it fills."""
    searched = Composer.over(config_dirs).searched
    with _hydra():
        loader = GlobalHydra.instance().config_loader()
        defaults = loader.compute_defaults_list(PRIMARY, list(lines), RunMode.RUN).defaults
    layers = []
    for one in defaults:
        name = f"{one.config_path}.yaml"
        folder = next((folder for folder in searched if (folder.path / name).is_file()), None)
        if folder is not None:
            package = tuple(part for part in (one.package or "").split(".") if part)
            layers.append(Layer(folder.path / name, f"{folder.shown}/{name}", package))
    return layers


@contextmanager
def _hydra() -> Iterator[None]:
    """Hydra's globals for the length of a composition; those of a running job are put back afterwards."""
    job, application = HydraConfig.instance().cfg, GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(data("conf")), job_name="harness", version_base="1.3"):
            yield
    finally:
        HydraConfig.instance().cfg = job
        GlobalHydra.instance().hydra = application


@dataclass(frozen=True)
class Loaded:
    """The options of one combination, composed; those whose files are broken are left out."""

    config: DictConfig | None
    problems: list[Problem]
    dropped: list[Item]


@dataclass
class Composer:
    """One set of folders, with the combinations of options that were composed already."""

    config_dirs: tuple[Path, ...]
    searched: list[options.Folder]
    groups: options.Groups
    absent: list[Problem]
    _loaded: dict[tuple[str, ...], Loaded] = field(default_factory=dict)

    @classmethod
    def over(cls, config_dirs: Sequence[Path]) -> "Composer":
        """A composer over the shipped folder and those of the user that exist."""
        every = options.folders(config_dirs)
        searched = [folder for folder in every if folder.path.is_dir()]
        return cls(tuple(config_dirs), searched, options.groups(searched), options.missing(every))

    def read(self, overrides: Sequence[str]) -> Read:
        """The overrides parsed, with a problem for each that cannot be."""
        return read(overrides, self.groups)

    def search_path(self) -> list[str]:
        """The override that tells Hydra the user's folders."""
        extra = [f"file://{folder.path}" for folder in self.searched if not folder.shipped]
        quoted = ",".join('"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"' for path in extra)
        return [f"hydra.searchpath=[{quoted}]"] if extra else []

    def compose(
        self, overrides: Sequence[str], *, job: bool = False, spoilt: frozenset[Keys] = frozenset()
    ) -> Composed:
        """One configuration; see the function of this name. `spoilt` are keys whose problem was told already."""
        given = self.read(overrides)
        loaded = self._load_choices(given)
        spoilt |= given.spoilt | {item.keys for item in loaded.dropped}
        given = replace(given, problems=[*self.absent, *given.problems, *loaded.problems], spoilt=spoilt)
        if loaded.config is None:
            return Composed({}, {}, {}, given.texts, "RUN", job, given.problems, unresolved=frozenset({()}))
        values = [item for item in given.items if not item.choice and not item.is_hydra]
        return self.finish(loaded.config, given, values, job=job)

    def _load_choices(self, given: Read) -> Loaded:
        return self.load([item for item in given.items if not item.is_sweep and (item.choice or item.is_hydra)])

    def load(self, items: Sequence[Item]) -> Loaded:
        """The configuration of these choices; it may be written to."""
        key = tuple(item.rewritten for item in items)
        if key not in self._loaded:
            self._loaded[key] = self._load(list(items))
        return replace(self._loaded[key], config=copy.deepcopy(self._loaded[key].config))

    def _load(self, items: list[Item]) -> Loaded:
        problems: list[Problem] = []
        dropped: list[Item] = []
        while True:
            try:
                return Loaded(self._run_hydra(items), problems, dropped)
            except Exception as error:  # of Hydra, OmegaConf, YAML, the file system, and RecursionError
                unreadable = {id(item): problem for item in items if (problem := self._unreadable(item))}
                guilty = [item for item in items if id(item) in unreadable] or self._guilty(items)
                problems += unreadable.values() or [self._explain(error, guilty)]
                if not items:
                    return Loaded(None, problems, dropped)
                dropped += guilty
                items = [item for item in items if item not in guilty]

    def _unreadable(self, item: Item) -> Problem | None:
        files = self._files([item])
        return failures.of_reading(files[0], self.searched) if files else None

    def _explain(self, error: Exception, guilty: Sequence[Item]) -> Problem:
        return failures.of_composition(error, self._files(guilty), self.groups, self.searched)

    def _run_hydra(self, items: Sequence[Item]) -> DictConfig:
        lines = [*self.search_path(), *(item.rewritten for item in items)]
        return hydra.compose(PRIMARY, overrides=lines, return_hydra_config=True)

    def _guilty(self, items: Sequence[Item]) -> list[Item]:
        """The one choice without which the others compose, else all of them."""
        for item in items:
            try:
                self._run_hydra([one for one in items if one is not item])
            except Exception:  # noqa: S112 - the others are to blame too, the next one may be the last
                continue
            return [item]
        return list(items)

    def _files(self, items: Sequence[Item]) -> list[Path]:
        chosen = [(item.parsed.key_or_group, str(item.parsed.value())) for item in items if item.choice]
        return [self.groups[group][name].path for group, name in chosen if name in self.groups.get(group, {})]

    def swept(self, given: Read) -> Read:
        """What the files themselves sweep over, as `hydra.sweeper.params` of a suite or an experiment."""
        config = self._load_choices(given).config
        params = OmegaConf.select(config, "hydra.sweeper.params") if config is not None else None
        return self.read([f"{key}={value}" for key, value in (params or {}).items()])

    def spoilt(self, overrides: Sequence[str]) -> frozenset[Keys]:
        """The keys that a sweep could not set, because of mistakes in the overrides or in the files."""
        given = self.read(overrides)
        return given.spoilt | self.swept(given).spoilt

    def expand(self, overrides: Sequence[str]) -> tuple[list[list[str]], list[Problem]]:
        """The overrides of every job of a sweep, and what is wrong with the sweep itself."""
        given = self.read(overrides)
        swept = self.swept(given)
        locator = Locator(self.compose(overrides))
        problems = []
        for problem in swept.problems:
            key = problem.place.removeprefix("override ").partition("=")[0]
            place = locator.place(("hydra", "sweeper", "params", key))
            problems.append(problem._replace(place=place, message=f"hydra.sweeper.params.{key}: {problem.message}"))
        parsed = [item.parsed for item in (*swept.items, *given.items) if not item.is_hydra]
        try:
            return list(BasicSweeper.split_arguments(parsed, None)[0]), problems
        except Exception as error:  # an interval has no list of values
            return [], [*problems, Problem("sweep", str(error), "use choice(…) or range(…)")]

    def finish(self, config: DictConfig, given: Read, values: Sequence[Item], *, job: bool) -> Composed:
        """Sets the values on the composed options, resolves what refers to something, and says what is wrong."""
        mode: Mode = "MULTIRUN" if config.hydra.mode == RunMode.MULTIRUN and not job else "RUN"
        unclear = given.spoilt & DECIDING  # these could have made it a sweep, or have chosen a scenario
        sweeping = [item for item in given.items if item.is_sweep] if mode == "RUN" and not unclear else []
        problems = [*given.problems, *(sweep_problem(item) for item in sweeping)]
        problems += [problem for item in values if not item.is_sweep and (problem := put(config, item))]
        if "sweeper" in config.hydra:
            HydraConfig.instance().set_config(config)  # for `${hydra:…}`
        resolved = resolve(config)
        choices = {str(group): option for group, option in config.hydra.runtime.choices.items()}
        chosen = [item for item in given.items if not item.is_sweep and (item.choice or item.is_hydra)]
        lines = [*self.search_path(), *(item.rewritten for item in chosen if item.keys not in given.spoilt)]
        composed = Composed(
            config=resolved.config,
            choices=choices,
            sources=self._sources(choices),
            overrides=given.texts,
            mode=mode,
            job=job,
            assignments=tuple(item.assignment for item in given.items),
            groups=self.groups,
            unresolved=frozenset({*given.spoilt, *resolved.broken, *(item.keys for item in sweeping)}),
            references=resolved.references,
            trace=functools.partial(trace, self.config_dirs, tuple(lines)),
        )
        locator = Locator(composed)
        for issue in resolved.issues:
            problems.append(Problem(locator.place(issue.keys), f"{'.'.join(issue.keys)}: {issue.message}", issue.hint))
        if mode == "RUN" and not unclear and not composed.is_unresolved(("scenario",)) and not _has_scenario(composed):
            problems.append(Problem("scenario", "no scenario was chosen", CHOOSE))
        if not _has_scenario(composed):
            composed = replace(composed, unresolved=composed.unresolved | {("scenario",)})
        return replace(composed, problems=redact_problems(problems, secrets_of(composed.config, os.environ)))

    def _sources(self, choices: dict[str, str | None]) -> dict[str, str]:
        """The file of every option chosen; groups of Hydra itself and options without a file are left out."""
        chosen = [self.groups.get(group, {}).get(str(name)) for group, name in choices.items()]
        return {option.group: option.shown for option in chosen if option is not None}


def _has_scenario(composed: Composed) -> bool:
    node = composed.config.get("scenario")
    chosen = composed.choices.get("scenario") not in (None, options.NOTHING)
    return chosen or (isinstance(node, dict) and "_target_" in node)
