with
    screenings as (select * from {{ ref("stg_compliance__screenings") }}),

    hits as (select * from {{ ref("stg_compliance__screening_hits") }}),

    hits_of_screenings as (
        select
            screening_id,
            count(*) as hits,
            countif(state = 'cleared') as cleared,
            countif(state = 'confirmed') as confirmed,
            countif(state = 'remembered') as remembered,
            -- A state that this project does not know is not decided.
            countif(state not in ('cleared', 'confirmed', 'remembered')) as undecided
        from hits
        group by screening_id
    ),

    screening_activity as (
        select
            date(screenings.screened_at) as screened_date,
            screenings.subject_kind,
            screenings.trigger as screening_trigger,
            count(*) as screenings,
            countif(screenings.outcome = 'clear') as clear,
            countif(screenings.outcome = 'hit') as with_hits,
            countif(screenings.outcome not in ('clear', 'hit')) as errors,
            count(distinct screenings.list_version_ids) as list_states,
            coalesce(sum(hits_of_screenings.hits), 0) as hits,
            coalesce(sum(hits_of_screenings.undecided), 0) as hits_undecided,
            coalesce(sum(hits_of_screenings.cleared), 0) as hits_cleared,
            coalesce(sum(hits_of_screenings.confirmed), 0) as hits_confirmed,
            coalesce(sum(hits_of_screenings.remembered), 0) as hits_remembered
        from screenings
        left join hits_of_screenings on screenings.screening_id = hits_of_screenings.screening_id
        group by screened_date, subject_kind, screening_trigger
    )

select *
from screening_activity
