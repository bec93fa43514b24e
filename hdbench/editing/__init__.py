"""A scene under edits: what was painted, stamped, removed, restyled, and what it looks like."""
