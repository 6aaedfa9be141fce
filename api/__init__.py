"""The one FastAPI application: authentication, errors, health checks and the reads of risk and notifications."""
