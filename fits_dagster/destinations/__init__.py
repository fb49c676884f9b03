"""Where files are sent to."""
