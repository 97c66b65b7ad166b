"""Seeds, thread counts and deterministic algorithms, set in the worker before the runner is built."""

import os
import random
import sys
from collections.abc import Sequence


def place(threads: int | None, cpus: Sequence[int] | None, nice: int) -> None:
    """Puts this process on its CPUs with its priority and thread counts; None leaves what was inherited.

    Raises:
        OSError: a CPU is not there, or the priority is not permitted.
    """
    if cpus is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    if nice and hasattr(os, "nice"):
        os.nice(nice)
    if threads is None:
        return
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)  # for libraries not loaded yet, and for child processes
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seeds Python, and numpy and torch where they are loaded; asks torch for deterministic algorithms.

    torch documents which operations then raise instead of differing (`torch.use_deterministic_algorithms`).
    """
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
        torch.backends.cudnn.benchmark = False
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
