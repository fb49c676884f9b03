"""Upkeep of a site: roll-call, removal of what the archive has, pruning, vacuum."""
