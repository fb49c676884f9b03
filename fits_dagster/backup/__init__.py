"""Backups of the sites' databases: made in one moment of time, verified, kept by a rule, and restored."""
