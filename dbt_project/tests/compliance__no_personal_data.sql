-- Personal data stays in PostgreSQL, sealed. No column of what compliance copies or shows may be named for it.
-- depends_on: {{ ref("case_trail") }}
-- depends_on: {{ ref("compliance_decision_trail") }}
-- depends_on: {{ ref("kyc_funnel") }}
-- depends_on: {{ ref("aml_alert_outcomes") }}
-- depends_on: {{ ref("screening_activity") }}
-- depends_on: {{ ref("sla") }}
-- depends_on: {{ ref("transaction_monitoring") }}
with
    columns_shown as (
        {%- for dataset in ["raw", "compliance", "audit"] %}
            select table_schema, table_name, column_name
            from `{{ dataset }}.INFORMATION_SCHEMA.COLUMNS`
            {%- if not loop.last %}
                union all
            {%- endif %}
        {%- endfor %}
    )

select table_schema, table_name, column_name
from columns_shown
where
    (table_schema = 'compliance' or contains_substr(table_name, 'compliance') or table_name = 'case_trail')
    and regexp_contains(
        lower(column_name),
        r'first_name|last_name|full_name|alias|birth|e_?mail|phone|passport|document|nationality|address|payload|pii|title'
    )
