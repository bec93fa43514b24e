"""The server of a study: who gets which packet, and answers that are on disk before they count."""
