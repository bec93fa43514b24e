"""Infrastructure of long jobs: devices, ranks, checkpoints, metrics, progress, resuming."""
