"""`export` and `import`."""

import gzip
import json
from pathlib import Path

import pytest

from harness.cli import export, import_, rerun
from harness.errors import NotFound, RefusedError
from harness.results.bundle import load, unpack
from harness.results.store import Store
from tests.cli.stores import store as store
from tests.command_line import CommandLine
from tests.results.documents import a_stored_run

TOOLS = Path(__file__).parents[1] / "results/foreign/files"


@pytest.mark.parametrize("name", ["bundle.json", "bundle.json.gz"])
def test_a_bundle_travels_to_another_store(
    name: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [a_stored_run(store)[1]["run_id"] for _ in range(3)]
    assert export.main(["--scenario", "rollback", "--output", str(tmp_path / name)]) == 0
    monkeypatch.setenv("HARNESS_OUTPUTS", str(tmp_path / "other"))
    assert import_.main([str(tmp_path / name), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(each["run_id"] for each in found) == sorted(ids)
    assert import_.main([str(tmp_path / name)]) == 0
    assert capsys.readouterr().out.endswith("3 already here\n")
    with pytest.raises(RefusedError, match="was imported from"):
        rerun.main(["last"])


def test_without_a_name_the_last_run_is_exported(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotFound):
        export.main([])
    first, last = (a_stored_run(store, scenario)[1]["run_id"] for scenario in ("rollback", "prefetch"))
    assert export.main([]) == 0
    assert [run["run_id"] for run in json.loads(capsys.readouterr().out)["runs"]] == [last]
    assert export.main([first, "last", "--format", "csv"]) == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["run_id", first, last]
    assert export.main([first, "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("# rollback on cpu")
    with pytest.raises(NotFound, match="no ended run matches"):
        export.main(["--tag", "none"])


def test_the_files_of_other_tools_are_imported_together(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_.main([str(path) for path in sorted(TOOLS.iterdir())]) == 0
    assert capsys.readouterr().out.endswith("6 imported\n")


def test_a_run_that_differs_makes_the_exit_code_1(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, known = a_stored_run(store)
    export.main(["last", "--output", str(tmp_path / "bundle.json")])
    path = store.runs / known["run_id"] / "manifest.json"
    path.write_text(path.read_text().replace('"verdict": "none"', '"verdict": "pass"'))
    assert import_.main([str(tmp_path / "bundle.json")]) == 1
    assert "the one that is here was kept" in capsys.readouterr().err


def test_planted_secrets_are_in_no_export(tmp_path: Path) -> None:
    (tmp_path / "leaky.py").write_text(
        "import os\n"
        "def work(api_key):\n"
        "    print(os.environ['MY_SERVICE_TOKEN'], f'password={api_key}', flush=True)\n"
        "    raise ValueError('not allowed: ' + os.environ['MY_SERVICE_TOKEN'] + api_key)\n"
    )
    user = CommandLine(tmp_path / "outputs", environment={"MY_SERVICE_TOKEN": "planted-secret-value-1"})
    arguments = "scenario.arguments={api_key: planted-secret-value-2}"
    words = ["scenario=function", "scenario.function=leaky:work", arguments, "tags=[planted-secret-value-1]"]
    assert user.run(*words, "measure.iterations=2", "measure.warmup=0", cwd=tmp_path).returncode == 3
    bundle = tmp_path / "bundle.json.gz"
    assert user.verb("export", "last", "--output", str(bundle)).returncode == 0
    ((_, files),) = unpack(load(bundle.read_bytes(), "bundle"), "bundle").items()
    contents = {**files, "the bundle itself": gzip.decompress(bundle.read_bytes())}
    for form in ("csv", "markdown"):
        done = user.verb("export", "last", "--format", form)
        assert done.returncode == 0, done.stderr
        contents[form] = done.stdout.encode()
    assert [name for name, content in contents.items() if b"planted-secret-value" in content] == []
    written = ("manifest.json", "result.json", "config.yaml", "events.jsonl", "worker.log", "markdown")
    assert [name for name in written if b"[redacted]" not in contents[name]] == [], "they were there to be taken out"
