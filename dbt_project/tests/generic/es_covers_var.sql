{# Expected Shortfall is a mean of losses no smaller than Value at Risk; a row has both, or a reason. #}
{% test es_covers_var(model) %}
    select *
    from {{ model }}
    where es_usd < var_usd or (var_usd is null) != (es_usd is null) or (var_usd is null) != (reason is not null)
{% endtest %}
