"""A study rendered for participants: images, trials and pages, and the proof that it is fair."""
