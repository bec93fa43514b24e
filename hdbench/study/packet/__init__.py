"""A study rendered for participants: images, trials and pages, and their verification."""
