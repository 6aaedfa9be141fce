{{ config(tags=["daily"]) }}

with
    listed as (select * from {{ ref("stress_scenarios") }}),

    current_versions as (
        select scenario_id, version as scenario_version, kind, name, start_date, end_date, description, source
        from listed
        qualify row_number() over (partition by scenario_id order by version desc) = 1
    )

select *
from current_versions
