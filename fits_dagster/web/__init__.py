"""The HTTP side of a site: uploads, queue status, login, reading, and the Dagster UI behind the login."""
