"""`perf-tests`: a few scenarios in a few minutes, each against its baseline; fails at the first that lost a quarter."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, HarnessError, Problem, StorageRefused

_ABOUT = """\
Runs a small suite, writes perf_test_results.json, and compares each throughput with the scenario's baseline on this
host. A loss of a quarter is measured again, and if it stays the tests end there with exit code 1. Without a baseline
nothing fails, and that is said."""


def main(argv: Sequence[str]) -> int:
    """Runs the tests and gives the exit code: 0, 1 for a regression, 3 where a scenario did not run, 130 cancelled.

    Raises:
        ConfigError: a configuration is wrong.
        HarnessError: nothing was measured, or the document could not be kept.
    """
    options = _parse(argv)
    from harness.cli.preload import guess
    from harness.cli.run import check_jobs, engine_for, import_path, launching

    overrides = [f"suite={options.suite}", *options.words]
    with launching(guess(overrides, options.config_dir)) as (launcher, cancel):
        from harness.config.compose import compose_all
        from harness.config.spec import RunSpec
        from harness.engine.perf_tests import PerfTests
        from harness.results import identity
        from harness.results.perf_tests import results

        whole, jobs = compose_all(overrides, options.config_dir)
        path = import_path(options.config_dir)
        check_jobs([whole, *jobs], launcher, cancel, path)
        engine = engine_for(launcher, cancel, ["harness", "perf-tests", *argv], path)
        tests = PerfTests(
            engine,
            tolerance=options.tolerance,
            limit_s=options.limit,
            tell=lambda line: print(line, file=sys.stderr),
            keep_going=options.keep_going,
        )
        started = time.monotonic()
        entries = tests.run([RunSpec.from_composed(job) for job in jobs])
        document = results(
            entries,
            suite=options.suite,
            host=identity.host(),
            tolerance=options.tolerance,
            limit_s=options.limit,
            duration_s=time.monotonic() - started,
        )
        cancelled = cancel.asked
    _save_baselines(tests.documents, options.save_baselines)
    code = _report(document, options)
    return 130 if cancelled else code


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    from harness.cli.ab import share

    parser = argparse.ArgumentParser(prog="python -m harness perf-tests", description=_ABOUT)
    parser.add_argument("words", nargs="*", metavar="key=value", help="overrides for every scenario")
    parser.add_argument("--suite", default="perf", metavar="NAME", help="another suite (default perf)")
    parser.add_argument("--config-dir", action="append", type=Path, default=[], metavar="DIR", help="a folder of YAML")
    parser.add_argument("--tolerance", type=share, default=0.25, metavar="P", help="the loss that fails (default 25%%)")
    parser.add_argument("--limit", type=float, default=600.0, metavar="S", help="seconds for all (default 600)")
    parser.add_argument("--keep-going", action="store_true", help="run the others after a regression too")
    parser.add_argument("--save-baselines", action="store_true", help="keep these runs as the baselines")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where the document goes (default: the outputs)")
    parser.add_argument("--json", action="store_true", help="print the document")
    options = parser.parse_intermixed_args(list(argv))
    odd = [word for word in options.words if "=" not in word and word[:1] not in "+~"]
    if odd:
        raise ConfigError([Problem(f"argument {word}", "is no override", "write key=value") for word in odd])
    return options


def _save_baselines(documents: Sequence[dict[str, Any]], wanted: bool) -> None:
    from harness.results import baseline

    for document in documents if wanted else ():
        try:
            path, _ = baseline.save(document, baseline.folder())
            print(f"baseline of {document['scenario']}: {path}", file=sys.stderr)
        except HarnessError as error:
            print(f"no baseline of {document['scenario']}: {error.message}", file=sys.stderr)


def _report(document: dict[str, Any], options: argparse.Namespace) -> int:
    from harness import paths
    from harness.report.perf_tests import perf_tests_text
    from harness.results.canonical import pretty
    from harness.results.disk import Disk
    from harness.results.perf_tests import FILE

    folder = options.output or paths.outputs()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Disk().write(folder / FILE, pretty(document))
    except OSError as error:
        raise StorageRefused(f"{folder / FILE} cannot be written: {error.strerror}", "Name another folder") from error
    print(pretty(document).decode() if options.json else f"{perf_tests_text(document)}\nfile: {folder / FILE}")
    return int(document["exit_code"])
