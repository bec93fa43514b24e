"""A study rehearsed by simulated people in the real page: page, server and analysis together."""
