"""The whole schema of a site's database, and the way to it from any earlier one."""
