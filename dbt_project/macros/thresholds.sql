{# What a threshold is where an account has none of its own; NULL where the project has none either. #}
{% macro default_threshold(name) -%}
    {%- set value = var(name) -%}
    {%- if value is none -%} cast(null as numeric)
    {%- else -%} numeric '{{ value }}'
    {%- endif -%}
{%- endmacro %}
