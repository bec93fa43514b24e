"""The Python interface: images from label maps, and scores of images."""

from hdbench.api.generators import Generator, load_generator
from hdbench.api.scores import Scores, score

__all__ = ["Generator", "Scores", "load_generator", "score"]
