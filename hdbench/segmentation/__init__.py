"""The judge: a segmenter, its card, and how one is trained."""
