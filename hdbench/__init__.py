"""hdbench: the benchmark suite of semantic image synthesis.

The Python interface is two functions, ``load_generator`` and ``score`` (``hdbench/api/``)::

    import hdbench

    generator = hdbench.load_generator("ours")
    image = generator.synthesize(label, instance)  # uint8 H x W x 3
    scores = hdbench.score(images, labels, "streets-pspnet-v1", "streets-std-v1")

Nothing heavy is imported before one of them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdbench.api import Generator, Scores, load_generator, score

__version__ = "0.1.0"
__all__ = ["Generator", "Scores", "load_generator", "score"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from hdbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'hdbench' has no attribute '{name}'")
