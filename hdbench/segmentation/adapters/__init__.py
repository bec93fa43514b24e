"""Segmenters of others: one file per kind, each with ``load`` and ``adopt``.

``adopt`` reads what its makers published, once, and writes hdbench's own folder of it: weights as
safetensors and a card. ``load`` opens such a folder. All names of foreign layers, files and
settings are in these files and nowhere else.
"""
