{# Datasets are named as declared, without a prefix: auditors find risk.margin_health under that name everywhere. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro %}

{# What stands as a comment in each statement, so that a job in BigQuery's history names its model. #}
{% macro query_comment(node) -%}
    {{ return(tojson({"app": "ballast", "node": node.unique_id if node else "none"})) }}
{%- endmacro %}
