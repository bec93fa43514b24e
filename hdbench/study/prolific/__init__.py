"""Recruiting on Prolific through its REST API: a draft, its publication, approvals, bonuses."""
