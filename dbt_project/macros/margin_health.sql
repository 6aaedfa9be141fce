{# Margin health in percent, as risk.margin_health computes it: times 100 before the division, which keeps nine decimals. #}
{% macro health_pct(collateral_usd, borrow_usd) -%}
    cast(({{ collateral_usd }} - {{ borrow_usd }}) * numeric '100' as numeric) / {{ borrow_usd }}
{%- endmacro %}

{# Status of an account by its health; a debt without a known health is unpriced. #}
{% macro margin_status(has_borrow, health_pct) -%}
    case
        when not {{ has_borrow }}
        then 'no_debt'
        when {{ health_pct }} is null
        then 'unpriced'
        when {{ health_pct }} < liquidation_threshold_pct
        then 'liquidation'
        when {{ health_pct }} < margin_call_threshold_pct
        then 'margin_call'
        else 'healthy'
    end
{%- endmacro %}
