"""Compliance over HTTP: who may ask what, the services behind the routes, and the routes."""
