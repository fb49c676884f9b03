"""Calibration association: rules as data, an engine that turns them into set-based SQL."""
