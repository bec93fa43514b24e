"""The segmenter: its card, its adapters, its training and its predictions."""
