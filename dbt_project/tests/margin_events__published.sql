-- Every margin event must leave the outbox. The sensor looks back a few days only: one that is older and unpublished
-- would never be announced, and nobody would know of the call.
select distinct margin_event_id, account_id, severity, detected_at
from {{ ref("margin_event_trail") }}
where published_at is null and detected_at < timestamp_sub({{ current_time() }}, interval 10 minute)
