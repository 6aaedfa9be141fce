"""A local Ethereum with Chainlink's price feeds, whose prices and failures are set by command."""
