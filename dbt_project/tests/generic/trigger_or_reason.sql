{# A trigger price is positive, and where there is none the row says why. #}
{% test trigger_or_reason(model) %}
    select * from {{ model }} where (trigger_price_usd is null) != (reason is not null) or trigger_price_usd <= 0
{% endtest %}
