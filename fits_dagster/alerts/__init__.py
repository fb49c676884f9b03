"""Alerts: what people are notified of without asking, by log, e-mail and webhook.

A small process of its own looks at all sites and at Dagster, so that it notices when Dagster stands still.
"""
