{# One row a value, as a query: `value as column`, each by the expression that the caller gives for it. #}
{% macro rows_of(column, values) -%}
    {%- for value in values %}
        select {{ value }} as {{ column }}
        {%- if not loop.last %}
            union all
        {% endif -%}
    {%- endfor %}
{%- endmacro %}

{# The confidences as literals. #}
{% macro confidence_literals() -%}
    {%- set found = [] -%}
    {%- for bp in var("var_confidences_bp") -%} {%- do found.append(confidence_literal(bp)) -%} {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
