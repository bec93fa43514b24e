"""Streets, the built-in scenes: drawn by a pure function, so that nothing need be downloaded."""
