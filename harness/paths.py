"""Where the shipped and the written files live, in a checkout and in an installed wheel."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent


def data(name: str) -> Path:
    """The shipped folder `name` ("conf", "schemas" or "baselines"), from the checkout or from the wheel."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _CHECKOUT / name


def outputs() -> Path:
    """The folder that everything is written under: `HARNESS_OUTPUTS`, else `outputs/` of the current folder."""
    return Path(os.environ.get("HARNESS_OUTPUTS") or "outputs").absolute()


def runtime() -> Path:
    """A folder of this user on this host for locks; it need not outlive a reboot.

    Raises:
        OSError: neither the runtime folder of the login nor the temporary folder can be written.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK):
        folder = Path(base) / "harness"
    else:
        import getpass
        import tempfile

        folder = Path(tempfile.gettempdir()) / f"harness-{getpass.getuser()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
