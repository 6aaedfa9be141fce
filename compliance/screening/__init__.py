"""Who is on a list: lists in versions, matching of names and wallets, what officers cleared, nightly re-screening."""
