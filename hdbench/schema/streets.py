"""The sizes in which Streets, the built-in scenes, can be drawn."""

from __future__ import annotations

#: Pixels; lower scenes are too small to show a street.
LOWEST = 32


def require_streets_size(width: int, height: int) -> None:
    """Check that scenes of a size in pixels can be drawn.

    Raises:
        ValueError: they are not twice as wide as high, or too low; the nearest sizes are named.
    """
    if width == 2 * height and height >= LOWEST:
        return
    heights = sorted({max(LOWEST, width // 2), max(LOWEST, height)})
    fitting = " or ".join(f"{2 * high}x{high}" for high in heights)
    raise ValueError(
        f"scenes of Streets are twice as wide as high and at least {2 * LOWEST}x{LOWEST}, "
        f"not {width}x{height}; use {fitting}"
    )
