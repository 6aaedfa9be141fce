{{ config(materialized="view", group="alerting") }}

{%- set shown_hours = var("delivery_rate_hours") %}
-- The window of 24 hours that ends with the first hour shown begins 23 hours before it.
{%- set read_hours = shown_hours + 23 %}
{%- set this_hour -%} timestamp_trunc({{ current_time() }}, hour) {%- endset %}

with
    steps as (
        select notification_id, channel, kind, state, state_at, txid, state_id, terminal_state
        from {{ ref("stg_alerting__notification_events") }}
        where state_at >= timestamp_sub({{ this_hour }}, interval {{ read_hours }} hour)
    ),

    counted_steps as (
        select
            *,
            first_value(terminal_state) over (
                partition by notification_id order by txid desc, state_id desc
            ) as ended_as
        from steps
        where kind is null or kind not in ('test', 'verification')
    ),

    -- One that was planned before what is read has no such step here.
    notifications as (
        select notification_id, max(channel) as channel, max(ended_as) as ended_as, min(state_at) as planned_at
        from counted_steps
        group by notification_id
        having countif(state = 'planned') > 0
    ),

    hourly as (
        select
            channel,
            timestamp_trunc(planned_at, hour) as hour_at,
            countif(ended_as in ('accepted', 'delivered')) as succeeded,
            countif(ended_as = 'failed') as failed,
            countif(ended_as is null or ended_as not in ('accepted', 'delivered', 'failed', 'suppressed')) as pending
        from notifications
        where channel is not null
        group by channel, hour_at
    ),

    targets as (
        {%- for target in var("delivery_targets") %}
            select '{{ target.channel }}' as channel, numeric '{{ target.target_pct }}' as target_pct
            {%- if not loop.last %}
                union all
            {%- endif %}
        {%- endfor %}
    ),

    channels as (
        select channel
        from targets
        union distinct
        select channel
        from hourly
    ),

    hours as (
        select hour_at
        from
            unnest(
                generate_timestamp_array(
                    timestamp_sub({{ this_hour }}, interval {{ read_hours }} hour), {{ this_hour }}, interval 1 hour
                )
            ) as hour_at
    ),

    filled as (
        select
            channels.channel,
            hours.hour_at,
            coalesce(hourly.succeeded, 0) as succeeded,
            coalesce(hourly.failed, 0) as failed,
            coalesce(hourly.pending, 0) as pending
        from channels
        cross join hours
        left join hourly on channels.channel = hourly.channel and hours.hour_at = hourly.hour_at
    ),

    windows as (
        select channel, hour_at, 1 as window_hours, succeeded, failed, pending
        from filled
        union all
        select
            channel,
            hour_at,
            24 as window_hours,
            sum(succeeded) over (last_day) as succeeded,
            sum(failed) over (last_day) as failed,
            sum(pending) over (last_day) as pending
        from filled
        window last_day as (partition by channel order by hour_at rows between 23 preceding and current row)
    ),

    delivery_rates as (
        select
            windows.channel,
            windows.hour_at,
            windows.window_hours,
            windows.hour_at = {{ this_hour }} as is_running,
            windows.succeeded + windows.failed as ended,
            windows.succeeded,
            windows.failed,
            windows.pending,
            -- Cut, not rounded: what is below the target never looks as if it were not.
            if(
                windows.succeeded + windows.failed = 0,
                null,
                trunc(cast(100 * windows.succeeded as numeric) / (windows.succeeded + windows.failed), 4)
            ) as rate_pct,
            targets.target_pct,
            case
                when windows.succeeded + windows.failed = 0
                then 'no_data'
                when targets.target_pct is null
                then 'no_target'
                when 100 * windows.succeeded < targets.target_pct * (windows.succeeded + windows.failed)
                then 'below_target'
                else 'ok'
            end as status
        from windows
        left join targets on windows.channel = targets.channel
        where windows.hour_at > timestamp_sub({{ this_hour }}, interval {{ shown_hours }} hour)
    )

select *
from delivery_rates
