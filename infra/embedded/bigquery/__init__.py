"""The embedded BigQuery: bqemulator 1.4.0 (DuckDB behind BigQuery's REST and gRPC), started with repairs.

Each repair is a function of one module, named after what it does; its docstring says what stock does wrong.
`server.repair` and `server.build_app` list them all.

Access: every REST request but `/healthz` and `/readyz`, and every gRPC call but health checks, needs the settings'
bearer token; on the gRPC port, which has no TLS, the client sends it as plain metadata `authorization`. Both ports bind
127.0.0.1 only.

Durability: DuckDB's write-ahead log is synced at each commit, so what was acknowledged survives kill -9; the lock of
the database file goes with the process. Rows with an insertId, and repeats of a request with the same requestId or
job id, are stored once, as long as the process that stored them lives.

Exactness (money):

| | stores | `*` | `/`, SAFE_DIVIDE, DIV, AVG | SUM, ROUND, TRUNC, CEIL, FLOOR |
|---|---|---|---|---|
| NUMERIC | DECIMAL(38, 9), as BigQuery | exact, 9 digits | exact, 9 digits | exact |
| BIGNUMERIC | DECIMAL(38, 18): 20 digits before the point, 18 after | exact, 18 digits | exact, 18 digits | exact |

Results are rounded half away from zero, and have BigQuery's type (BIGNUMERIC when an operand is one). What does not fit
is an error: 1e-18 fits a BIGNUMERIC, 6.5e22 (an amount in wei times a price) does not, so store tokens, not their
smallest unit. Digits beyond the 18th of a BIGNUMERIC literal or cast are rounded off; appends refuse them. A fraction
literal beside a decimal takes its type (`x * 1.5`). Floating point remains: SQRT, POW, EXP, LN, STDDEV, any operation
with a FLOAT64 column, and variables of scripts without a cast. A division whose operand types cannot be derived (a
pivoted column, an argument of a SQL function) fails on decimals: write `cast(... as numeric)`.

Not served: GEOGRAPHY, JavaScript functions, Avro and ORC files, FOR SYSTEM_TIME AS OF (refused), partition expiration
(not applied: purge by DML). Materialized views are views: always fresh, computed at each read.
"""
