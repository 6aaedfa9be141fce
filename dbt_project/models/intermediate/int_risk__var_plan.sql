{{ config(tags=["daily"], materialized="view") }}

{%- if var("var_standard_window") not in var("var_windows") or 1 not in var("var_horizons_days") %}
    {{ exceptions.raise_compiler_error("var_windows must hold var_standard_window, and var_horizons_days one day") }}
{%- endif %}

{%- set methods = {"account": var("var_account_methods"), "book": var("var_book_methods")} %}

with
    methods as (
        {% for portfolio_kind, named in methods.items() %}
            {% set last_kind = loop.last %}
            {% for method in ["historical_simulation"] + named %}
                select '{{ portfolio_kind }}' as portfolio_kind, '{{ method }}' as method
                {% if not (last_kind and loop.last) %}
                    union all
                {% endif %}
            {% endfor %}
        {% endfor %}
    ),

    horizons as ({{ rows_of("horizon_days", var("var_horizons_days")) }}),

    windows as ({{ rows_of("window_observations", var("var_windows")) }}),

    confidences as ({{ rows_of("confidence", confidence_literals()) }}),

    var_plan as (
        select
            methods.portfolio_kind,
            methods.method,
            horizons.horizon_days,
            windows.window_observations,
            confidences.confidence
        from methods
        cross join horizons
        cross join windows
        cross join confidences
    )

select *
from var_plan
