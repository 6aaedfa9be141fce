"""The risk engine: pure functions over arrays and decimals, without I/O, clock or Dagster.

One reference for the SQL models, the API's what-if, the terminal and the Dagster assets. Losses are positive; P&L in
USD is positive for a gain. Statistics are floating point, money at the edges is Decimal.
"""
