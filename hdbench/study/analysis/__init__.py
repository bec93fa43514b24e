"""Participants' answers: reading, tallying, and the statistics of preferences."""
