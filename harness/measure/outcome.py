"""The hash of what the measured work gave (losses, tokens), kept so that a killed run's can be gone on with.

Each piece is hashed together with the hash before it. The running hash lies in the sample file's header, in slots that
take turns from iteration to iteration: whichever iteration a kill cuts short, the slots of those before are whole.
"""

from array import array
from hashlib import sha256

from harness.measure.samples import SampleFile, Word

_SLOT = 5  # words: the iteration's number plus 1, then 32 bytes of hash
SLOTS = range(int(Word.OUTCOME), int(Word.OUTCOME) + 64 * _SLOT, _SLOT)


class Outcome:
    """The running hash over all pieces so far, in the header of a sample file."""

    def __init__(self, samples: SampleFile) -> None:
        self._samples = samples
        self._iteration = -1
        self._slot = 0
        self._hash = b""
        kept = before(samples, samples.words[int(Word.KEPT)])
        if kept is not None:
            self._hash = kept
            self._write(samples.words[int(Word.KEPT)] - 1)

    def add(self, data: bytes, iteration: int) -> None:
        """Hashes a piece that an iteration gave."""
        found = sha256(self._hash)
        found.update(data)
        self._hash = found.digest()
        self._write(iteration)

    def _write(self, iteration: int) -> None:
        if iteration != self._iteration:
            self._iteration, self._slot = iteration, (self._slot + 1) % len(SLOTS)
        words, at = self._samples.words, SLOTS[self._slot]
        words[at] = iteration + 1
        words[at + 1 : at + _SLOT] = memoryview(array("q", self._hash))

    @property
    def hex(self) -> str | None:
        """The hash as text, None where nothing was hashed."""
        return self._hash.hex() or None


def before(samples: SampleFile, iterations: int) -> bytes | None:
    """The running hash after the last of the first `iterations` that gave a piece, None where none did."""
    words = samples.words
    whole = [at for at in SLOTS if 0 < words[at] <= iterations]
    if not whole:
        return None
    newest = max(whole, key=lambda at: words[at])
    return words[newest + 1 : newest + _SLOT].tobytes()


def is_begun(samples: SampleFile) -> bool:
    """Whether any piece was hashed."""
    return any(samples.words[at] > 0 for at in SLOTS)
