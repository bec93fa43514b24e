"""Adapters of foreign segmenters: one file per kind, each with ``load`` and ``adopt``.

``adopt`` reads published files once and writes hdbench's own folder: weights as safetensors, and a
card. ``load`` opens such a folder. Names of foreign layers, files and settings are only here.
"""
