{{ config(tags=["daily"], materialized="view") }}

with
    var_plan as (
        {% set kinds = {"account": var("var_account_methods"), "book": var("var_book_methods")} %}
        {% for portfolio_kind, methods in kinds.items() %}
            {% set last_kind = loop.last %}
            {% for method in ["historical_simulation"] + methods %}
                {% set last_method = loop.last %}
                {% for days in var("var_horizons_days") %}
                    {% set last_horizon = loop.last %}
                    {% for window in var("var_windows") %}
                        select
                            '{{ portfolio_kind }}' as portfolio_kind,
                            '{{ method }}' as method,
                            {{ days }} as horizon_days,
                            {{ window }} as window_observations
                        {% if not (last_kind and last_method and last_horizon and loop.last) %}
                            union all
                        {% endif %}
                    {% endfor %}
                {% endfor %}
            {% endfor %}
        {% endfor %}
    )

select *
from var_plan
