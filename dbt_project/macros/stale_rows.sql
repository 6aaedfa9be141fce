{# A statement for after a build: the day and price set in force keep the rows of this build alone. A merge leaves what it no
   longer finds, such as an account that a late event emptied. All rows of a build carry one computed_at. #}
{% macro delete_rows_of_earlier_builds() -%}
    delete from {{ this }}
    where
        as_of_date = (select max(as_of_date) from {{ ref("int_risk__asset_returns") }})
        and price_set_id = (select max(price_set_id) from {{ ref("int_risk__asset_returns") }})
        and computed_at < (
            select max(computed_at)
            from {{ this }}
            where
                as_of_date = (select max(as_of_date) from {{ ref("int_risk__asset_returns") }})
                and price_set_id = (select max(price_set_id) from {{ ref("int_risk__asset_returns") }})
        )
{%- endmacro %}
