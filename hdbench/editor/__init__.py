"""The page on which scenes are edited, and its server."""
