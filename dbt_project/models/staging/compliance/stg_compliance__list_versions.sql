with
    source as (select * from {{ source("raw", "compliance_list_versions") }}),

    renamed as (
        select
            list_version_id,
            list_name,
            content_hash,
            state,
            reason,
            entries,
            names,
            wallets,
            added,
            changed,
            removed,
            published_on,
            loaded_at,
            change_number,
            mirrored_at
        from source
    ),

    deduped as (
        select *
        from renamed
        qualify row_number() over (partition by list_version_id order by change_number desc, mirrored_at desc) = 1
    )

select *
from deduped
