"""Parts of the pages: pure functions that make markup, and the few calls that show it."""
