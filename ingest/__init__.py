"""How the outside world gets in: prices and settlement events, appended to the `raw` dataset."""
