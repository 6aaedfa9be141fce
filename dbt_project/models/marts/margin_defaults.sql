{{ config(materialized="view") }}

with
    margin_defaults as (
        select
            {{ default_threshold("margin_call_health_pct") }} as margin_call_pct,
            {{ default_threshold("liquidation_health_pct") }} as liquidation_pct,
            {{ default_threshold("early_warning_health_pct") }} as early_warning_pct,
            {{ default_threshold("recovery_margin_pct") }} as recovery_margin_pct
    )

select *
from margin_defaults
