"""A declarative performance harness: YAML describes a benchmark, one engine runs it and gives a verdict."""

__version__ = "0.1.0"
