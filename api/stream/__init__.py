"""The WebSocket `/v1/stream`: live health, prices and margin alerts from one shared poller."""
