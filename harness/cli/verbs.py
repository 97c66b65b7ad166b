"""The verbs of the command line, and how one is found: late imports keep reading verbs as light as Python itself."""

import importlib
import sys
from collections.abc import Sequence

# verb: (module, what it does). The order is that of the help text.
VERBS = {
    "run": ("harness.cli.run", "measure, judge and store: scenario=NAME [key=value …]; -m sweeps over a,b,c"),
    "ab": ("harness.cli.ab", 'measures two things in turn and decides: ab scenario=NAME B="key=value …"'),
    "list": ("harness.cli.list", "what can be run: scenarios, suites and the options of every group"),
    "describe": ("harness.cli.describe", "the knobs of one scenario: describe scenario=NAME"),
    "results": (
        "harness.cli.results",
        "the runs so far, newest last; filters by status, scenario, date, tag; --suites, --ab",
    ),
    "status": ("harness.cli.status", "how far a run is and when it will end: status [RUN_ID]"),
    "watch": ("harness.cli.watch", "follows a running run from another terminal"),
    "show": ("harness.cli.show", "one run, suite or comparison in full: show ID, or show last"),
    "compare": ("harness.cli.compare", "stored runs against one another: compare BASE CANDIDATE …"),
    "summary": ("harness.cli.summary", "what was measured, counted by scenario, status and verdict"),
    "trend": ("harness.cli.trend", "one metric over the runs of a scenario: trend SCENARIO [METRIC]"),
    "tag": ("harness.cli.tag", "words to find runs by: tag RUN_ID --add nightly"),
    "pin": ("harness.cli.pin", "keeps runs from being pruned"),
    "note": ("harness.cli.note", "what a reader should know of a run: note RUN_ID TEXT"),
    "export": ("harness.cli.export", "stored runs as a bundle, CSV or Markdown"),
    "tensorboard": ("harness.cli.tensorboard", "runs as TensorBoard shows them: tensorboard RUN_ID [--follow]"),
    "import": ("harness.cli.import_", "runs of a bundle, of another host's store, or of another tool"),
    "prune": (
        "harness.cli.prune",
        "takes old runs, suites and comparisons away, never baselines, pinned or running ones",
    ),
    "verify": ("harness.cli.verify", "checks what is stored against its digests and schemas"),
    "resume": ("harness.cli.resume", "goes on with a run or a suite that was cut short: resume RUN_ID"),
    "rerun": ("harness.cli.rerun", "runs a stored run's configuration again: rerun RUN_ID"),
    "perf-tests": ("harness.cli.perf_tests", "a few scenarios against their baselines, in minutes"),
    "selftest": ("harness.cli.selftest", "what no change looks like on this host: selftest noise [scenario=NAME]"),
    "baseline": ("harness.cli.baseline", "keeps a run as the baseline of its scenario and device, or shows it"),
}
ABOUT = "A performance harness for training control loops and local LLMs, whose numbers state their own error."


def usage() -> str:
    """The help text."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {about}" for verb, (_, about) in VERBS.items()]
    return "\n".join(
        [
            ABOUT,
            "",
            "usage: python -m harness scenario=NAME [key=value …]     the same as `run`",
            "       python -m harness VERB [arguments]",
            "",
            *lines,
            "",
            "exit codes: 0 pass, warn, no rule or inconclusive; 1 fail; 2 refused before measuring;",
            "            3 a benchmark failed to run, or the store was lost; 130 cancelled",
        ]
    )


def dispatch(arguments: Sequence[str]) -> int:
    """Runs the verb that the arguments name, or a run where they are overrides."""
    words = list(arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] == "--version":
        from harness import __version__

        print(f"harness {__version__}")
        return 0
    verb = words[0]
    if verb in VERBS:
        words = words[1:]
    elif "=" in verb or verb[0] in "+~-":
        verb = "run"
    else:
        return _unknown(verb)
    return _call(VERBS[verb][0], words)


def _unknown(verb: str) -> int:
    from difflib import get_close_matches

    near = get_close_matches(verb, VERBS, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"the verbs are {', '.join(VERBS)}"
    print(f"unknown verb {verb!r}; {hint} A run is started by overrides such as scenario=NAME.", file=sys.stderr)
    return 2


def _call(module: str, words: list[str]) -> int:
    from harness.errors import Cancelled, HarnessError

    try:
        return int(importlib.import_module(module).main(words))
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (Cancelled, KeyboardInterrupt):
        print("cancelled", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; the interpreter would complain at exit
        return 0
