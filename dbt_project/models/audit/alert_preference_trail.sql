{{ config(materialized="view", group="alerting") }}

with
    changes as (select * from {{ ref("stg_alerting__preference_changes") }}),

    alert_preference_trail as (
        select change_id, owner, changed_at, action, changed_by, reason, before_json, after_json, mirrored_at
        from changes
    )

select *
from alert_preference_trail
