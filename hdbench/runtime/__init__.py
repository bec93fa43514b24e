"""What every long job needs: devices, checkpoints, metrics, progress, a way back in."""
