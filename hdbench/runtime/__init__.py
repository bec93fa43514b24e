"""What long jobs need: devices, ranks, checkpoints, metrics, progress, resuming."""
