"""Upkeep of a site: roll-call, scrub, leftovers, removal of what the archive has, pruning, vacuum."""
