with
    source as (select * from {{ source("raw", "alert_preference_changes") }}),

    renamed as (
        select
            change_id,
            owner,
            -- A reserved word.
            `at` as changed_at,
            action,
            changed_by,
            reason,
            before as before_json,
            after as after_json,
            mirrored_at
        from source
    ),

    deduped as (
        select * from renamed qualify row_number() over (partition by owner, change_id order by mirrored_at desc) = 1
    )

select *
from deduped
