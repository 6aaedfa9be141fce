"""The app as a server: who may come in, the light page, the stream, and files."""
