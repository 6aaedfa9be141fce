with
    listed as (
        {%- for asset in var("asset_reference") %}
            select
                '{{ asset.asset }}' as asset,
                {{ asset.is_stablecoin }} as is_stablecoin,
                {{ asset.price_max_age_seconds }} as price_max_age_seconds
            {%- if not loop.last %}
                union all
            {%- endif %}
        {%- endfor %}
    )

select *
from listed
