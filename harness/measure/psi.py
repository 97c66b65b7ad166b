"""Pressure of the host (PSI): the share of time in which some task waited for CPU, disk or memory."""

from harness.measure.proc import File, open_file

RESOURCES = ("cpu", "io", "memory")


def some_avg10(content: bytes) -> float:
    """Percent of the last ten seconds in which at least one task waited, from the content of a pressure file.

    Raises:
        ValueError: the content is not that of a pressure file.
    """
    start = content.index(b"avg10=") + 6
    return float(content[start : content.index(b" ", start)])


def open_pressure(resource: str) -> File | str:
    """The pressure file of one resource, or why there is none (kernels before 4.20, or started with psi=0)."""
    return open_file(f"/proc/pressure/{resource}", 512)


def pressure(resource: str) -> float | None:
    """The pressure on one resource now, None where the kernel does not tell."""
    file = open_pressure(resource)
    if isinstance(file, str):
        return None
    content = file.read()
    file.close()
    return some_avg10(content) if content else None
