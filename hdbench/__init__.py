"""hdbench: the benchmark suite of semantic image synthesis."""

__version__ = "0.1.0"
