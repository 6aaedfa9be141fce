{# Number of scenarios in the tail: ceil(n * (1 - confidence)), in whole numbers so that nothing is rounded twice. #}
{% macro tail_observations(observations, confidence_bp) -%}
    {{ (observations * (10000 - confidence_bp) + 9999) // 10000 }}
{%- endmacro %}

{# The confidences as rows: confidence, tail_observations. #}
{% macro confidence_levels() -%}
    {%- set window = var("var_window_observations") -%}
    {%- for bp in var("var_confidences_bp") %}
        select
            numeric '{{ "%.4f" | format(bp / 10000) }}' as confidence,
            {{ tail_observations(window, bp) }} as tail_observations
        {%- if not loop.last %}
            union all
        {% endif -%}
    {%- endfor %}
{%- endmacro %}
