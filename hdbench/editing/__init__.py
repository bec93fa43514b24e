"""A scene under edits: what was painted, stamped, removed and restyled, and what follows from it."""
