"""Tables of the risk dataset that Dagster assets write: what NumPy and SciPy compute."""

from __future__ import annotations

from infra.runtime.bigquery import TableSpec, nullable, required

RISK_DATASET = "risk"

_LABELS = (
    required("price_set_id", "STRING", "Closes that the figures come from"),
    required("is_simulated", "BOOLEAN", "Whether any of these closes is simulated"),
    nullable("seed", "INTEGER", "Seed of the random numbers; NULL where there are none"),
    required("code_version", "STRING", "Version of the code that computed the row"),
    required("computed_at", "TIMESTAMP", "When the row was computed (UTC)"),
)

VAR_METHOD_ESTIMATES = TableSpec(
    RISK_DATASET,
    "var_method_estimates",
    (
        required("portfolio_kind", "STRING", "account or book"),
        required("portfolio_id", "STRING", "Account; book for the book"),
        required("as_of_date", "DATE", "Last day of the window"),
        required("method", "STRING", "How it was estimated; historical_simulation is the reference of the SQL"),
        required("estimator", "STRING", "How the figure is taken from the losses"),
        required("confidence", "NUMERIC", "Confidence as a fraction"),
        required("horizon_days", "INTEGER", "Horizon in days"),
        required("horizon_rule", "STRING", "one_day, overlapping_returns or square_root_of_time"),
        required("window_observations", "INTEGER", "Scenarios that the estimate asks for"),
        required("observations", "INTEGER", "Scenarios that were there"),
        required("tail_observations", "INTEGER", "k"),
        nullable("var_usd", "NUMERIC", "Value at Risk in USD; a loss is positive. NULL with a reason"),
        nullable("es_usd", "NUMERIC", "Expected Shortfall in USD; a loss is positive. NULL with a reason"),
        nullable("var_lower_usd", "NUMERIC", "Milder end of the interval of Value at Risk, in USD"),
        nullable("var_upper_usd", "NUMERIC", "Worse end of the interval of Value at Risk, in USD"),
        nullable("es_lower_usd", "NUMERIC", "Milder end of the interval of Expected Shortfall, in USD"),
        nullable("es_upper_usd", "NUMERIC", "Worse end of the interval of Expected Shortfall, in USD"),
        required("interval_method", "STRING", "What the interval of Value at Risk rests on"),
        required("interval_confidence", "NUMERIC", "Confidence of the intervals as a fraction"),
        required("is_fallback", "BOOLEAN", "Whether it stands in for historical simulation"),
        nullable("reason", "STRING", "Why there is no figure, or why it is a fallback"),
        *_LABELS,
    ),
    "Value at Risk by methods that SQL cannot express well, and bootstrap intervals. Grain: one row a portfolio, day, "
    "price set, method, horizon, window and confidence; a rerun replaces the rows of its day and price set.",
    partition_field="as_of_date",
    cluster_fields=("portfolio_kind", "portfolio_id", "method"),
)

VAR_BACKTESTS = TableSpec(
    RISK_DATASET,
    "var_backtests",
    (
        required("as_of_date", "DATE", "Last day with a P&L"),
        required("backtest_kind", "STRING", "stored_forecasts, or history: forecasts made anew for each past day"),
        required("subject_kind", "STRING", "book, account or asset"),
        required("subject_id", "STRING", "book, the account, or the asset (of which one US dollar is held)"),
        required("method", "STRING", "How the forecasts were estimated"),
        required("estimator", "STRING", "How the figure is taken from the losses"),
        required("confidence", "NUMERIC", "Confidence as a fraction"),
        required("horizon_days", "INTEGER", "Horizon in days"),
        required("window_observations", "INTEGER", "Scenarios behind each forecast"),
        required("period", "STRING", "all_days or last_250_days"),
        required("observations", "INTEGER", "Days with a forecast and a P&L"),
        required("missing", "INTEGER", "Days that lack one of them"),
        nullable("first_date", "DATE", "First day with a P&L"),
        nullable("exceptions", "INTEGER", "Days whose loss exceeded the forecast"),
        nullable("expected_exceptions", "NUMERIC", "Days times what the confidence leaves out"),
        *(
            nullable(f"{test}_{part}", kind, f"{words}: {told}")
            for test, words, parts in (
                ("kupiec", "Unconditional coverage (Kupiec 1995)", ("statistic", "p_value", "exact_p_value")),
                ("independence", "Independence (Christoffersen 1998)", ("statistic", "p_value", "exact_p_value")),
                (
                    "conditional",
                    "Conditional coverage (Christoffersen 1998)",
                    ("statistic", "p_value", "exact_p_value"),
                ),
                (
                    "duration",
                    "Durations (Christoffersen and Pelletier 2004)",
                    ("statistic", "p_value", "exact_p_value"),
                ),
                (
                    "dynamic_quantile",
                    "Dynamic quantile (Engle and Manganelli 2004)",
                    ("statistic", "p_value", "exact_p_value"),
                ),
                ("mcneil_frey", "Residuals of Expected Shortfall (McNeil and Frey 2000)", ("statistic", "p_value")),
            )
            for part, kind, told in (
                ("statistic", "FLOAT", "statistic"),
                ("p_value", "FLOAT", "asymptotic or bootstrap p-value"),
                ("exact_p_value", "FLOAT", "p-value of the finite sample, exact or simulated"),
            )
            if part in parts
        ),
        nullable("acerbi_szekely_z2", "FLOAT", "Z2 of Acerbi and Szekely (2014); below zero: shortfall understated"),
        nullable("acerbi_szekely_p_value", "FLOAT", "Its p-value, simulated under Student-t(4)"),
        nullable("zone", "STRING", "green, yellow or red by the binomial distribution (Basel 1996)"),
        nullable("multiplier_1996", "NUMERIC", "Basel 1996; only for 250 days at 99%"),
        nullable("multiplier_frtb", "NUMERIC", "FRTB; only for 250 days at 99%"),
        required("verdict", "STRING", "green, amber, red or unknown"),
        required("verdict_reason", "STRING", "The verdict in words"),
        nullable("notes", "STRING", "Tests that could not be computed, and why"),
        *_LABELS,
    ),
    "Backtests of Value at Risk and Expected Shortfall. Grain: one row a day, price set, kind, subject, method, "
    "confidence, horizon, window and period; a rerun replaces the rows of its day and price set.",
    partition_field="as_of_date",
    cluster_fields=("subject_kind", "subject_id", "method"),
)

VAR_EXCEPTIONS = TableSpec(
    RISK_DATASET,
    "var_exceptions",
    (
        required("as_of_date", "DATE", "Day of the backtest"),
        required("backtest_kind", "STRING", "stored_forecasts or history"),
        required("subject_kind", "STRING", "book, account or asset"),
        required("subject_id", "STRING", "book, the account, or the asset"),
        required("method", "STRING", "How the forecast was estimated"),
        required("confidence", "NUMERIC", "Confidence as a fraction"),
        required("horizon_days", "INTEGER", "Horizon in days"),
        required("window_observations", "INTEGER", "Scenarios behind the forecast"),
        required("exception_date", "DATE", "Day of the loss"),
        required("forecast_date", "DATE", "Day at whose end the forecast was made"),
        required("pnl_usd", "NUMERIC", "P&L of the day in USD, on the positions of the forecast"),
        required("var_usd", "NUMERIC", "Value at Risk that was forecast, in USD"),
        required("es_usd", "NUMERIC", "Expected Shortfall that was forecast, in USD"),
        required("excess_usd", "NUMERIC", "Loss beyond Value at Risk, in USD"),
        *_LABELS,
    ),
    "Days whose loss exceeded the forecast. Grain: one row a backtest and day; a rerun replaces its rows.",
    partition_field="as_of_date",
    cluster_fields=("subject_kind", "subject_id", "method"),
)

TABLES = (VAR_METHOD_ESTIMATES, VAR_BACKTESTS, VAR_EXCEPTIONS)
