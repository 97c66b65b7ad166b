"""A module whose import ends the process, as a broken extension module would."""

import os

os._exit(3)
