"""Measurements: each stage and, in the same run, the least that its work can cost."""
