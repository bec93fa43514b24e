"""Scenes of Streets per second on one core, by size, and how well colour alone tells the class."""

from __future__ import annotations

import time

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from hdbench.data.labels import VOID, shipped_space
from hdbench.streets.scene import draw_scene

draw_scene(1, 0, 256, 128)
first = 0.0
for width, count in ((256, 200), (512, 60), (1024, 15), (2048, 5)):
    began = time.perf_counter()
    for index in range(count):
        draw_scene(2, index, width, width // 2)
    rate = count / (time.perf_counter() - began)
    first = first or rate
    print(f"{width}x{width // 2}: {rate:6.1f} scenes a second, {rate / first:.2f}x")

table = shipped_space("cityscapes").train_id_table.numpy()
random = np.random.default_rng(0)


def pixels(seed: int, scenes: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return RGB and train id of pixels that are not void, drawn from a split's first scenes."""
    colours, truth = [], []
    for index in range(scenes):
        scene = draw_scene(seed, index, 256, 128)
        assert scene.image is not None
        colours.append(scene.image.numpy().reshape(3, -1).T)
        truth.append(table[scene.label.numpy().ravel()])
    rows = np.concatenate(colours), np.concatenate(truth)
    chosen = random.choice(np.flatnonzero(rows[1] != VOID), count, replace=False)
    return rows[0][chosen], rows[1][chosen]


forest = RandomForestClassifier(100, min_samples_leaf=5, n_jobs=1, random_state=0)
forest.fit(*pixels(1, 300, 300_000))
colours, truth = pixels(2, 100, 200_000)
accuracy = float((forest.predict(colours) == truth).mean())
print(f"a random forest on RGB, 300 scenes to learn from: pixel accuracy {accuracy:.3f} on val")
