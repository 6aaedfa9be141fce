{# Fails with each combination of the columns that stands in more than one row: the grain would be a lie. #}
{% test unique_grain(model, columns) %}
    select {{ columns | join(", ") }}, count(*) as rows_of_grain
    from {{ model }}
    group by {{ columns | join(", ") }}
    having count(*) > 1
{% endtest %}
