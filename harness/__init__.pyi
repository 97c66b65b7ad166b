from harness.api import Run as Run
from harness.api import load as load
from harness.api import run as run
from harness.api import runs as runs

__version__: str
