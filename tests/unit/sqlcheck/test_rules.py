"""Each rule flags what it names, and leaves alone what resembles it."""

from __future__ import annotations

import pytest

from infra.sqlcheck import RULES, Finding, Severity, check_sql

FLAGGED: dict[str, list[str]] = {
    "BQ001": [
        "select a[offset(i)] from t",
        "select a[safe_offset(i - 1)] from t",
        "select a[i] from t",
        "select a[offset(@position)] from t",
        "select a[offset(array_length(a) - 1)] from t",
    ],
    "BQ004": [
        "select x::date from t",
        "select a -> 'b' from t",
        "select {'a': 1}",
        "select a from t where a ilike 'x%'",
        "select sum(a) filter (where b) from t",
        "select distinct on (a) a, b from t",
        "select a from t semi join s using (a)",
        "select a from t asof join s using (a)",
        "select * exclude (a) from t",
        "select a from t order by all",
        "select * from 'rows.csv'",
        "with r as materialized (select 1 as a) select a from r",
        "select a from t fetch first 5 rows only",
        "select a from t limit 5%",
        "insert into d.t select a from s on conflict do nothing",
        "insert or replace into d.t values (1)",
        "create or replace macro f(x) as x + 1",
        "pragma version",
        "select timestamp_sub(observed_at, interval '1' day) from t",
        "select current_timestamp() - interval '1 day'",
        "select a from t except all select a from s",
        "select epoch(observed_at) from t",
        "select strftime(observed_at, '%Y') from t",
        "select list_sum(a) from t",
        "select printf('%d', a) from t",
        "select regexp_matches(a, 'b') from t",
        "select median(a) from t",
        "select now()",
        "select nvl(a, 0) from t",
        "select len(a) from t",
        "select arg_max(a, b) from t",
        "select try_cast(a as int64) from t",
        "select * from generate_series(1, 3)",
        "select * from read_csv('rows.csv')",
        "select safe.epoch(observed_at) from t",
        "select hll_count.invented(a) from t",
        "select date_trunc('day', observed_at) from t",
        "select date_diff('day', a, b) from t",
        "select cast(a as varchar) from t",
        "select safe_cast(a as double) from t",
        "select cast(a as timestamptz) from t",
    ],
    "BQ005": [
        "select timestamp_bucket(observed_at, interval 5 minute) from t",
        "select current_datetime()",
        "select net.host(a) from t",
        "select keys.new_keyset('AEAD_AES_GCM_256')",
        "assert (select count(*) from t) > 0 as 'rows'",
        "create table d.t (a int64, primary key (a) not enforced)",
        "create temp function f(x float64) returns float64 language js as r'''return x;'''; select f(1)",
        "create external table d.t options (format = 'CSV', uris = ['gs://b/x'])",
        "load data into d.t from files (format = 'CSV', uris = ['gs://b/x'])",
        "grant `roles/bigquery.dataViewer` on table d.t to 'user:a@b.c'",
        "drop all row access policies on d.t",
        "select @@project_id",
        "select * from d.__TABLES__",
        "select job_id from `region-us`.INFORMATION_SCHEMA.JOBS",
        "create snapshot table d.s clone d.t for system_time as of current_timestamp()",
        "alter table d.t set options (expiration_timestamp = timestamp '2030-01-01')",
        "select array_agg(distinct a ignore nulls) from t",
        "select array_agg(a ignore nulls order by b limit 1) from t",
        "select array_agg(struct(a, b) order by a) from t",
        "select date_trunc(price_date, isoweek) from t",
        "select timestamp_trunc(observed_at, week(monday)) from t",
        "select extract(week(monday) from price_date) from t",
        "select parse_timestamp('%Y-%m-%dT%H:%M:%E*SZ', a) from t",
        "select format('%t', a) from t",
        "select k, o from unnest([struct('a' as k), struct('b' as k)]) with offset as o",
    ],
    "BQ006": ["select a +", "select a // 2 from t", "select a from t union select a from s", "select 'open"],
    "BQ009": [
        "select timestamp_sub(observed_at, interval 1 month) from t",
        "select timestamp_add(observed_at, interval 1 week) from t",
        "select timestamp_diff(a, b, month) from t",
        "select current_timestamp() - interval 1 month",
        "select observed_at + interval 1 year from t",
        "select date_sub(price_date, interval 1 hour) from t",
        "select timestamp_sub(price_date, interval 1 day) from t",
        "select date_add(observed_at, interval 1 day) from t",
        "select date_diff(price_date, observed_at, day) from t",
        "select a from t where observed_at >= current_date()",
        "select a from t where observed_at >= date_sub(current_date(), interval 7 day)",
        "select a from t where price_date = observed_at",
        "select a from t where observed_at between start_date and end_date",
    ],
    "BQ010": [
        "select array_agg(a) as items from t group by items",
        "select [a] as items from t group by items",
        "select struct(a, b) as pair from t order by pair",
    ],
    "BQ012": [
        "select timestamp_diff(a, b, hour) from t",
        "select extract(millisecond from observed_at) from t",
        "select end_date - start_date from t",
        "select timestamp_trunc(observed_at, week) from t",
        "select date_trunc(observed_at, week) from t",
        "select date_trunc(price_date, week(monday)) from t",
        "select date_diff(a, b, isoweek) from t",
        "select format_timestamp('%H:%M:%E3S', observed_at) from t",
        "select approx_quantiles(a, 100)[offset(50)] from t",
        "select approx_top_count(a, 3) from t",
        "select format('%s', a) from t",
        "select cast(a / b as int64) from t",
    ],
    "BQ013": [
        "select a * b as value_usd, value_usd / 2 as half_usd from t",
        "select upper(a) as name from t where name = 'X'",
    ],
    "BQ014": [
        "select t.a from t left join s on t.a > s.a",
        "select t.a from t full join s on t.a = 1",
        "select t.a, (select p.price_usd from p where p.asset = t.asset order by p.observed_at desc limit 1) from t",
        "select t.a from t where exists (select 1 from p where p.asset = t.asset limit 1)",
    ],
    "BQ016": [
        "update d.t set a = 1",
        "delete from d.t",
        "select a from t where true qualify a = 1",
        "select percentile_cont(a, 0.5) from t",
        "select percentile_cont(a, 0.5) over (order by a) from t",
        "select sum(a) over (order by observed_at range between interval 1 hour preceding and current row) from t",
        "select count(distinct a) over (partition by b order by c) from t",
        "select string_agg(distinct a, ',' order by b) from t",
    ],
}

LEGAL = [
    "select 1",
    "select a[offset(0)], a[safe_offset(1)], a[ordinal(i)], j['name'] from t",
    "select e.k, o from t cross join unnest(t.items) as e with offset as o",
    "select x from t where observed_at >= @start and a in unnest(@ids)",
    "select countif(b), sum(if(c, x, null)), any_value(x having max y), max_by(x, y) from t",
    "select a, row_number() over (partition by a order by b) as n from t qualify n = 1",
    "select a from t qualify row_number() over (partition by a order by b) = 1",
    "select net_amount.host(a) as b from t",
    "select analytics.discount(a), `ballast.analytics.discount`(a) from t",
    "create temp function twice(x int64) as (x * 2); select twice(2)",
    "select safe.parse_date('%Y', a), safe_cast(a as numeric), cast(a as bignumeric), cast(a as string) from t",
    "select cast(a as numeric(38, 9)), cast([1] as array<int64>), cast(format_date('%F', d) as string) from t",
    "select timestamp_diff(a, b, microsecond), timestamp_trunc(observed_at, day), date_trunc(price_date, week) from t",
    "select date_diff(later_date, earlier_date, day), datetime_sub(datetime(observed_at), interval 1 month) from t",
    "select date(observed_at) = price_date, date_add(date(observed_at), interval 1 month) from t",
    "select timestamp_sub(current_timestamp(), interval 7 day), price_date + interval 1 month from t",
    "select array_agg(struct(a as a, b as b) order by a limit 1)[safe_offset(0)] from t",
    "select array_agg(a ignore nulls order by b), array_agg(distinct a order by a) from t",
    "select string_agg(distinct a, ',' order by a) from t",
    "select percentile_cont(a, 0.5) over (partition by b), percentile_disc(a, 0.9) over () from t",
    "select sum(a) over (order by b range between 3600 preceding and current row), count(distinct a) over () from t",
    "select a from t left join s on t.a = s.a and t.b > s.b",
    "select a from t left join unnest(t.items) as item",
    "select t.a, (select sum(v) from unnest(t.items) as v) from t",
    "select t.a from t where exists (select 1 from s where s.a = t.a)",
    "select array(select x from unnest(t.items) as x order by x limit 3) from t",
    "select upper(t.name) as name, length(t.name) as size from t",
    "select coalesce(name, 'none') as name from t where name is not null",
    "select x.* except (a) replace (b as c) from x",
    "select a from t union all select a from s union distinct select a from r",
    "select a from t except distinct select a from s",
    "select a, sum(b) from t group by rollup (a)",
    "select a, count(*) from t group by all",
    "merge d.t using (select 1 as a) as s on t.a = s.a when not matched then insert (a) values (s.a)",
    "insert into d.t (a, b) values (1, 'x')",
    "update d.t set a = 1 where true",
    "delete from d.t where observed_at < @before",
    "declare a int64 default 1; begin transaction; delete from d.t where a = 1; commit transaction",
    "create or replace table d.t (a int64 not null, b numeric) partition by date(observed_at) cluster by a",
    "create snapshot table d.s clone d.t",
    "select * from d.t for system_time as of timestamp_sub(current_timestamp(), interval 1 hour)",
    "export data options (uri = 'gs://b/x-*.parquet', format = 'PARQUET') as select a from d.t",
    "select to_hex(sha256(concat(a, '|', b))), farm_fingerprint(a), to_json_string(struct(a as a)) from t",
    "select json_value(j, '$.a'), json_query_array(j, '$.b'), hll_count.extract(hll_count.init(a)) from t",
    "select numeric '1.5', date '2026-01-01', timestamp '2026-01-01 00:00:00+00'",
    "select interval 1 day, interval '1-2' year to month",
    "select format('%s:%d', a, b), format('%.2f', c), format_timestamp('%FT%TZ', observed_at) from t",
    "select generate_date_array(start_date, end_date), div(a, b), mod(a, b), safe_divide(a, b), round(a, 2) from t",
    "select extract(dayofweek from price_date), extract(isoweek from price_date) from t",
    "select extract(date from observed_at) from t",
    "select * from (select a, b from t) pivot (sum(b) for a in ('x', 'y'))",
    "with recursive r as (select 1 as n union all select n + 1 from r where n < 3) select n from r",
    "select 'a :: b -> {c} ilike order by all' as words -- x::y\nfrom t",
    "select a as `order by all`, t.`group` from t",
    "from t |> where a > 1 |> aggregate sum(b) as total group by a",
]

IN_MATERIALIZED_VIEW: dict[str, list[str]] = {
    "BQ002": [
        "select asset, max(price_usd) as price_usd from d.t where observed_at > current_timestamp() group by asset",
        "select current_date as price_date, sum(a) as total from d.t group by 1",
        "select generate_uuid() as id, sum(a) as total from d.t group by 1",
        "select session_user() as reader, sum(a) as total from d.t group by 1",
        "select tools.bucket(a) as bucket, sum(b) as total from d.t group by 1",
    ],
    "BQ003": [
        "select a from d.t union all select a from d.s",
        "select t.a, sum(s.b) as total from d.t left join d.s on t.a = s.a group by t.a",
        "select a, row_number() over (partition by a order by b) as n from d.t",
        "select a, sum(b) as total from d.t group by a having sum(b) > 0",
        "select a, sum(b) as total from d.t group by a order by a",
        "select a from d.t limit 10",
        "select distinct a from d.t",
        "select a from d.t qualify row_number() over (partition by a order by b) = 1",
        "select a, count(distinct b) as n from d.t group by a",
        "select a, stddev(b) as deviation from d.t group by a",
        "select a, string_agg(b) as names from d.t group by a",
        "select a, sum(b) / count(*) as mean from d.t group by a",
        "select x.a, sum(y.b) as total from d.t as x join d.t as y on x.a = y.a group by x.a",
        "select a from d.t where a in (select a from d.s)",
        "select a, sum(b) as total from d.t for system_time as of @moment group by a",
        "select a, sum(b) as total from d.t group by rollup (a)",
    ],
}


def codes(sql: str, materialization: str = "view", layer: str = "", **more: object) -> set[str]:
    return {finding.rule for finding in errors(sql, materialization, layer, **more)}


def errors(sql: str, materialization: str = "view", layer: str = "", **more: object) -> list[Finding]:
    findings = check_sql(sql, materialization=materialization, name="m", layer=layer, **more)  # type: ignore[arg-type]
    return [finding for finding in findings if finding.severity is Severity.ERROR]


@pytest.mark.parametrize(("code", "sql"), [(code, sql) for code, texts in FLAGGED.items() for sql in texts])
def test_rule__flags_what_it_names(code: str, sql: str) -> None:
    assert code in codes(sql), errors(sql)


@pytest.mark.parametrize("sql", LEGAL)
def test_rules__leave_bigquery_sql_alone(sql: str) -> None:
    assert errors(sql) == []


@pytest.mark.parametrize(
    ("code", "sql"), [(code, sql) for code, texts in IN_MATERIALIZED_VIEW.items() for sql in texts]
)
def test_materialized_view_rule__flags_only_in_a_materialized_view(code: str, sql: str) -> None:
    assert code in codes(sql, "materialized_view")
    assert code in codes(f"create materialized view d.m as {sql}", "script")
    assert code not in codes(sql, "view")


@pytest.mark.parametrize(
    "sql",
    [
        "select asset, max(seen_at) as seen_at, max_by(price_usd, seen_at) as price_usd from d.t group by asset",
        "select date(seen_at) as day_, count(*) as n, avg(a) as mean from d.t where a > 0 group by day_",
        "with r as (select a, b from d.t) select r.a, sum(b) as total from r join d.s on r.a = s.a group by r.a",
        "select a, array_agg(b ignore nulls) as items, approx_count_distinct(c) as n from d.t group by a",
        "select a, b from d.t where b is not null",
    ],
)
def test_materialized_view_rules__accept_the_incremental_subset(sql: str) -> None:
    assert errors(sql, "materialized_view") == []


def test_materialized_view_rule__wants_tables_below() -> None:
    sql = "select a, sum(b) as total from d.t group by a"
    assert codes(sql, "materialized_view", bases={"t": "table", "s": "incremental", "raw": "source"}) == set()
    assert codes(sql, "materialized_view", bases={"t": "view"}) == {"BQ003"}
    assert codes(sql, "table", bases={"t": "view"}) == set()


def test_materialized_view_rule__lets_a_declared_non_incremental_view_be() -> None:
    options = "options (allow_non_incremental_definition = true, max_staleness = interval 30 minute)"
    query = "select a, count(distinct b) as n from d.t group by a"
    assert codes(f"create materialized view d.m {options} as {query}", "script") == set()
    without_staleness = "options (allow_non_incremental_definition = true)"
    assert codes(f"create materialized view d.m {without_staleness} as {query}", "script") == {"BQ003"}
    assert codes(f"create or replace materialized view d.m as {query}", "script") == {"BQ003"}


@pytest.mark.parametrize(
    "sql",
    [
        "select cast(price_usd as float64) as price from t",
        "select sum(cast(quantity_quantity as float64)) as total from t",
        "select cast(a * b as float64) as exposure_usd from t",
        "select safe_cast(t.exposure_usd * 2 as float64) as doubled from t",
    ],
)
def test_float_money__is_flagged_in_marts_only(sql: str) -> None:
    assert codes(sql, layer="marts") == {"BQ007"}
    assert codes(sql, layer="intermediate") == set()
    assert codes(sql, layer="marts", allowed=frozenset({"BQ007"})) == set()


@pytest.mark.parametrize(
    "sql", ["select cast(a as float64) as weight from t", "select cast(price_usd as numeric) as x from t"]
)
def test_float_money__leaves_other_casts_alone(sql: str) -> None:
    assert codes(sql, layer="marts") == set()


@pytest.mark.parametrize(
    "sql",
    [
        "select * from d.t",
        "with t as (select * from d.t) select * from t",
        "with t as (select a from d.t), s as (select t.*, 1 as b from t) select r.* from s join d.r on s.a = r.a",
        "select a from d.t union all select * from d.s",
        "select * from (select * except (a) from d.t)",
    ],
)
def test_mart_star__is_flagged_where_columns_come_from_outside(sql: str) -> None:
    assert "BQ008" in codes(sql, layer="marts")
    assert "BQ008" not in codes(sql, layer="staging")


@pytest.mark.parametrize(
    "sql",
    [
        "select a, b from d.t",
        "with t as (select * from d.t), final as (select a, b from t) select * from final",
        "with t as (select a from d.t), u as (select t.*, 1 as b from t) select * from u",
        "select count(*) as n from d.t",
    ],
)
def test_mart_star__accepts_a_star_over_a_written_list(sql: str) -> None:
    assert codes(sql, layer="marts") == set()


@pytest.mark.parametrize(
    ("materialization", "flagged"),
    [("incremental", True), ("table", True), ("snapshot", True), ("view", False), ("test", False), ("script", False)],
)
def test_unrepeatable__is_flagged_in_what_is_stored(materialization: str, flagged: bool) -> None:
    for call in ("generate_uuid()", "rand()", "session_user()"):
        assert ("BQ011" in codes(f"select {call} as x from t", materialization)) is flagged
    assert codes("select current_timestamp() as built_at from t", materialization) == set()


@pytest.mark.parametrize(
    ("code", "sql"),
    [
        ("BQ015", 'select "text" as a'),
        ("BQ012", "select timestamp_diff(a, b, second) from t"),
        ("BQ012", "select unix_seconds(observed_at) from t"),
        ("BQ012", "select to_json_string(struct(observed_at as observed_at)) from t"),
    ],
)
def test_warning__does_not_stop_the_build(code: str, sql: str) -> None:
    findings = check_sql(sql, materialization="view", name="m")
    assert [(finding.rule, finding.severity) for finding in findings] == [(code, Severity.WARNING)]


def test_rules__have_unique_codes_that_the_tables_cover() -> None:
    registered = [rule.code for rule in RULES]
    assert len(set(registered)) == len(registered)
    elsewhere = {"BQ006", "BQ007", "BQ008", "BQ011", "BQ015"}
    assert set(registered) | {"BQ006"} == set(FLAGGED) | set(IN_MATERIALIZED_VIEW) | elsewhere
