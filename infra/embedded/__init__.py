"""The local servers, their supervisor and the `ballast` command."""
