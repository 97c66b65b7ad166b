import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from harness.measure import checkout, container, environment, libraries, psi
from harness.process.children import output_of

CPU: dict[str, Any] = {"model": "A CPU", "cores": 8}
GPU = {"driver": "580.1", "devices": [{"index": 0, "name": "A GPU"}]}
NO_GPU = environment.unavailable("no-library")


def test_everything_is_captured_as_json() -> None:
    found = json.loads(json.dumps(environment.capture("cpu", run=output_of), allow_nan=False))
    for name in ("hostname", "user", "os", "kernel", "machine", "executable", "fingerprint"):
        assert isinstance(found[name], str)
        assert found[name]
    assert found["python"]["version"] == sys.version.split()[0]
    assert found["cpu"]["cores"] == os.cpu_count()
    assert found["device"] == "cpu"
    assert found["torch"]["status"] == "unavailable"


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="the system has no /proc")
def test_the_memory_is_what_the_kernel_says_it_has() -> None:
    with open("/proc/meminfo") as file:
        total_kb = next(int(line.split()[1]) for line in file if line.startswith("MemTotal:"))
    assert environment.capture("cpu")["memory_mb"] == pytest.approx(total_kb / 1024, abs=1)


def test_what_the_worker_tells_of_torch_is_kept() -> None:
    assert environment.capture("cpu", {"version": "2.13"})["torch"] == {"version": "2.13"}


def test_versions_are_those_of_the_package_metadata() -> None:
    installed = {name: version for name, version in libraries.versions().items() if version is not None}
    assert installed == {name: metadata.version(name) for name in installed}
    assert {"torch", "psutil", "hydra-core"} <= set(installed)


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from harness.measure import environment, telemetry; environment.capture('cpu');"
        "import os; telemetry.TreeSampler(os.getpid()).sample(); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"torch", "numpy", "importlib.metadata", "subprocess", "hydra", "omegaconf"}
    assert not heavy & set(loaded)
    if sys.platform == "linux":
        assert "psutil" not in loaded


def test_the_fingerprint_names_the_hardware_and_nothing_that_changes() -> None:
    mine = environment.fingerprint(CPU, 32_000, NO_GPU, "cpu")
    assert environment.fingerprint(dict(CPU, mhz=1, governor="x"), 32_100, GPU, "cpu") == mine
    others = [
        environment.fingerprint(dict(CPU, model="B"), 32_000, NO_GPU, "cpu"),
        environment.fingerprint(dict(CPU, cores=4), 32_000, NO_GPU, "cpu"),
        environment.fingerprint(CPU, 64_000, NO_GPU, "cpu"),
        environment.fingerprint(CPU, 32_000, GPU, "cuda"),
    ]
    assert len({mine, *others}) == 5
    assert environment.fingerprint(environment.cpu_info(), 1, NO_GPU, "cpu") == environment.fingerprint(
        environment.cpu_info(), 1, NO_GPU, "cpu"
    )


@pytest.mark.parametrize(
    ("pressure", "load", "quiet"), [(0.5, 99.0, True), (40.0, 0.0, False), (None, 99.0, False), (None, 0.0, True)]
)
def test_quiet_is_judged_by_pressure_and_without_it_by_load(
    monkeypatch: pytest.MonkeyPatch, pressure: float | None, load: float, quiet: bool
) -> None:
    monkeypatch.setattr(psi, "pressure", lambda resource: pressure)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    found = environment.quietness()
    assert found["quiet"] is quiet
    assert bool(found["reason"]) is not quiet
    assert found["steal"] is None


def test_a_host_that_tells_nothing_is_neither_quiet_nor_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psi, "pressure", lambda resource: None)
    monkeypatch.setattr(environment, "_load", lambda: None)
    found = environment.quietness()
    assert found["quiet"] is None
    assert found["reason"].startswith("unavailable")


def test_stolen_time_is_that_since_the_stamp_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psi, "pressure", lambda resource: 0.0)
    monkeypatch.setattr(environment, "_cpu_ticks", lambda: {"steal": 100, "total": 1000})
    before = environment.quietness()
    monkeypatch.setattr(environment, "_cpu_ticks", lambda: {"steal": 110, "total": 1100})
    after = environment.quietness(before)
    assert after["steal"] == 10.0
    assert (after["quiet"], after["reason"]) == (False, "the hypervisor took 10.0 % of the CPUs, over 2 %")


COMMIT = "a" * 40


def git_folder(root: Path, head: str) -> Path:
    git = root / ".git"
    git.mkdir(parents=True)
    (git / "HEAD").write_text(f"{head}\n")
    return git


def test_without_git_the_commit_is_read_from_the_branch_file(tmp_path: Path) -> None:
    git = git_folder(tmp_path, "ref: refs/heads/some/branch")
    (git / "refs/heads/some").mkdir(parents=True)
    (git / "refs/heads/some/branch").write_text(f"{COMMIT}\n")
    (tmp_path / "below").mkdir()
    found = checkout.describe(tmp_path / "below")
    assert (found["commit"], found["branch"]) == (COMMIT, "some/branch")
    assert found["dirty"]["reason"].startswith("no-git")


def test_without_git_the_commit_is_read_from_the_packed_references(tmp_path: Path) -> None:
    git = git_folder(tmp_path, "ref: refs/heads/main")
    (git / "packed-refs").write_text(f"# pack-refs\n{'b' * 40} refs/heads/not-main\n{COMMIT} refs/heads/main\n")
    assert checkout.describe(tmp_path)["commit"] == COMMIT


def test_a_detached_head_is_a_commit_without_branch(tmp_path: Path) -> None:
    git_folder(tmp_path, COMMIT)
    found = checkout.describe(tmp_path, run=lambda command: None)
    assert (found["commit"], found["branch"]) == (COMMIT, None)


def test_a_worktree_finds_its_branch_in_the_main_checkout(tmp_path: Path) -> None:
    git = git_folder(tmp_path / "main", "ref: refs/heads/main")
    (git / "refs/heads").mkdir(parents=True)
    (git / "refs/heads/side").write_text(COMMIT)
    own = git / "worktrees/side"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/side\n")
    (own / "commondir").write_text("../..\n")
    (tmp_path / "side").mkdir()
    (tmp_path / "side/.git").write_text(f"gitdir: {own}\n")
    assert checkout.describe(tmp_path / "side")["commit"] == COMMIT


def test_a_folder_that_is_no_checkout_says_so(tmp_path: Path) -> None:
    assert checkout.describe(tmp_path)["reason"].startswith("not-a-checkout")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], {"commit": COMMIT, "branch": "main", "dirty": False}),
        (["1 .M N... 100644 100644 100644 a b file.py"], {"commit": COMMIT, "branch": "main", "dirty": True}),
    ],
    ids=["clean", "changed"],
)
def test_git_says_whether_files_were_changed(tmp_path: Path, lines: list[str], expected: dict[str, Any]) -> None:
    git_folder(tmp_path, "ref: refs/heads/main")
    status = "\n".join([f"# branch.oid {COMMIT}", "# branch.head main", "# branch.upstream origin/main", *lines])
    assert checkout.describe(tmp_path, run=lambda command: status) == expected


def test_a_checkout_without_a_commit_has_none(tmp_path: Path) -> None:
    git_folder(tmp_path, "ref: refs/heads/main")
    status = "# branch.oid (initial)\n# branch.head (detached)\n"
    assert checkout.describe(tmp_path, run=lambda command: status) == {"commit": None, "branch": None, "dirty": False}
    assert checkout.describe(tmp_path)["commit"] is None


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_limits_of_control_groups_version_2_are_the_tightest_on_the_way_up(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/pod/box\n",
        "sys/fs/cgroup/pod/box/cpu.max": "400000 100000\n",
        "sys/fs/cgroup/pod/box/memory.max": "max\n",
        "sys/fs/cgroup/pod/cpu.max": "150000 100000\n",
        "sys/fs/cgroup/pod/memory.max": "536870912\n",
        ".dockerenv": "",
    }
    assert container.describe(write(tmp_path, files)) == {"kind": "docker", "cpu_limit": 1.5, "memory_limit_mb": 512.0}


def test_limits_of_control_groups_version_1_are_found_at_the_mounted_root(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
    }
    assert container.describe(write(tmp_path, files)) == {"kind": None, "cpu_limit": 2.0, "memory_limit_mb": 1024.0}


def test_no_limit_is_null(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "5:cpu:/\n4:memory:/\n0::/\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    assert container.describe(write(tmp_path, files)) == {"kind": None, "cpu_limit": None, "memory_limit_mb": None}


def test_without_control_groups_the_limits_are_unavailable(tmp_path: Path) -> None:
    assert container.describe(tmp_path)["status"] == "unavailable"


def test_a_pressure_file_is_read_for_its_ten_seconds() -> None:
    content = b"some avg10=12.34 avg60=0.36 avg300=0.25 total=63\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=0\n"
    assert psi.some_avg10(content) == 12.34
    with pytest.raises(ValueError, match="subsection not found"):
        psi.some_avg10(b"")
