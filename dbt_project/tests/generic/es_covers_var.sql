{# Expected Shortfall is a mean of losses no smaller than Value at Risk; a row has both, or none and a reason. A figure with
   a reason is a fallback. #}
{% test es_covers_var(model) %}
    select *
    from {{ model }}
    where
        es_usd < var_usd
        or (var_usd is null) != (es_usd is null)
        or (var_usd is null and reason is null)
        or (var_usd is not null and is_fallback != (reason is not null))
{% endtest %}
