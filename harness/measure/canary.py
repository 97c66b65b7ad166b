"""A reference workload that is timed between iterations, by which times of different days can be compared.

A host's speed moves by a fifth from one minute to the next, and moves the canary along. Divided by an ideal one (the
measured work itself), stored times raised no false alarm where plain ones raised 31 to 46 %; this one is the same for
all work, so it takes out what is common to all: it hashes, and it walks through memory, for a quarter of a millisecond.
"""

import time

CANARY = "canary.duration_ms"
_BLOCK = bytes(range(256)) * 256
_HASHED = 2  # blocks of 64 KiB
_STEPS = 2000  # of a walk over 1 MiB, farther than the first-level cache reaches


class Canary:
    """Does the same work whenever it is asked and gives its time in milliseconds."""

    def __init__(self) -> None:
        from hashlib import sha256  # here, because verbs that only read need no more than the metric's name

        self._hash, self._memory = sha256, bytearray(1 << 20)
        self.duration_ms()  # the first one would touch the pages

    def duration_ms(self) -> float:
        """The wall time of the reference work, once."""
        memory, clock = self._memory, time.perf_counter_ns
        started = clock()
        for _ in range(_HASHED):
            self._hash(_BLOCK).digest()
        at = 0
        for _ in range(_STEPS):
            at = (at + 4093 * 17) & 0xFFFFF
            memory[at] = (memory[at] + 1) & 0xFF
        return (clock() - started) / 1e6
