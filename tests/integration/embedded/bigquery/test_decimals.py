"""Money is exact: NUMERIC and BIGNUMERIC keep their digits in storage, arithmetic and transport."""

from __future__ import annotations

import random
from decimal import ROUND_HALF_UP, Decimal, getcontext

import pytest
from google.api_core.exceptions import BadRequest

D = Decimal
TABLE = """
    create or replace table {d}.t as
    select numeric '65000.123456789' as n, numeric '3' as three, bignumeric '0.000000000000000001' as wei,
    bignumeric '2.000000000000000001' as q, 7 as i, cast(null as numeric) as nothing
"""


@pytest.mark.parametrize(
    ("expression", "value", "kind"),
    [
        ("n", D("65000.123456789"), "NUMERIC"),
        ("wei", D("0.000000000000000001"), "BIGNUMERIC"),
        ("cast('65000.123456789' as numeric)", D("65000.123456789"), "NUMERIC"),
        ("cast('-0.000000000000000001' as bignumeric)", D("-0.000000000000000001"), "BIGNUMERIC"),
        ("numeric '99999999999999999999999999999.999999999'", D("99999999999999999999999999999.999999999"), "NUMERIC"),
        ("numeric '1000000000000000.5' * numeric '1000000000000.5'", D("1000000000000500500000000000.25"), "NUMERIC"),
        ("n * n", D("4225016049.397811579"), "NUMERIC"),
        ("n * three * three * three * three", D("5265009.999999909"), "NUMERIC"),
        ("q * n", D("130000.246913578000065000"), "BIGNUMERIC"),
        ("cast(q * n as numeric)", D("130000.246913578"), "NUMERIC"),
        ("cast(bignumeric '-0.5' * bignumeric '0.000000001' as numeric)", D("-0.000000001"), "NUMERIC"),
        ("cast(bignumeric '0.4999' * bignumeric '0.000000001' as numeric)", D("0"), "NUMERIC"),
        ("cast(cast(q * n as bignumeric) as numeric)", D("130000.246913578"), "NUMERIC"),
        ("cast(bignumeric '2' / three as numeric)", D("0.666666667"), "NUMERIC"),
        ("wei * 65000", D("0.000000000000065"), "BIGNUMERIC"),
        ("n / three", D("21666.707818930"), "NUMERIC"),
        ("numeric '1' / three", D("0.333333333"), "NUMERIC"),
        ("numeric '2' / three", D("0.666666667"), "NUMERIC"),
        ("numeric '-2' / three", D("-0.666666667"), "NUMERIC"),
        ("1 / three", D("0.333333333"), "NUMERIC"),
        ("bignumeric '1' / three", D("0.333333333333333333"), "BIGNUMERIC"),
        ("safe_divide(n, three)", D("21666.707818930"), "NUMERIC"),
        ("safe_divide(n, 0)", None, "NUMERIC"),
        ("div(numeric '7', numeric '2')", D("3"), "NUMERIC"),
        ("n * 1.5", D("97500.185185184"), "NUMERIC"),
        ("coalesce(nothing, 0.1) * three", D("0.3"), "NUMERIC"),
        ("case when i > 5 then n else 0.5 end", D("65000.123456789"), "NUMERIC"),
        ("round(n, 2)", D("65000.12"), "NUMERIC"),
        ("round(numeric '2.345', 2)", D("2.35"), "NUMERIC"),
        ("round(numeric '-2.345', 2)", D("-2.35"), "NUMERIC"),
        ("trunc(numeric '1.239', 2)", D("1.23"), "NUMERIC"),
        ("(n - three) / three * numeric '100'", D("2166570.781893000"), "NUMERIC"),
        ("(select sum(n) from {d}.t)", D("65000.123456789"), "NUMERIC"),
        ("if(true, n, null) / i", D("9285.731922398"), "NUMERIC"),
        ("n * cast(0.5 as float64)", 32500.0617283945, "FLOAT"),
        ("i / 2", 3.5, "FLOAT"),
        ("i * 2", 14, "INTEGER"),
    ],
)
def test_expression__is_exact_and_has_bigquerys_type(warehouse, expression, value, kind):
    warehouse.run(TABLE)
    rows = warehouse.client.query_and_wait(
        f"select {expression} as x from {{d}}.t".replace("{d}", warehouse.dataset), retry=None, job_retry=None
    )
    assert ([row.x for row in rows], rows.schema[0].field_type) == ([value], kind)


def test_products_and_quotients__equal_pythons_on_random_values(warehouse):
    getcontext().prec = 80
    dice = random.Random(20260131)
    pairs = [
        (D(dice.randint(-(10**15), 10**15)).scaleb(-dice.randint(0, 9)), D(dice.randint(1, 10**12)).scaleb(-9))
        for _ in range(400)
    ]
    warehouse.run("create table {d}.pairs (id int64, a numeric, b numeric)")
    rows = [{"id": n, "a": format(a, "f"), "b": format(b, "f")} for n, (a, b) in enumerate(pairs)]
    assert warehouse.insert("pairs", rows) == []
    found = warehouse.run("""
        select id, a * b, a / b, cast(a as bignumeric) * b, cast(a as bignumeric) / b from {d}.pairs order by id
    """)
    unit, small = D("1e-9"), D("1e-18")
    for (a, b), (_, product, quotient, wide_product, wide_quotient) in zip(pairs, found, strict=True):
        assert product == (a * b).quantize(unit, ROUND_HALF_UP)
        assert quotient == (a / b).quantize(unit, ROUND_HALF_UP)
        assert wide_product == (a * b).quantize(small, ROUND_HALF_UP)
        assert wide_quotient == (a / b).quantize(small, ROUND_HALF_UP)


def test_aggregates_and_windows__are_exact(warehouse):
    warehouse.run("create table {d}.t (k string, v numeric)")
    warehouse.run("insert into {d}.t values ('a', numeric '0.1'), ('a', numeric '0.2'), ('b', numeric '10')")
    assert warehouse.run("select k, sum(v), avg(v), sum(v) / count(*) from {d}.t group by k order by k") == [
        ("a", D("0.3"), D("0.15"), D("0.15")),
        ("b", D("10"), D("10"), D("10")),
    ]
    assert warehouse.run("select v / sum(v) over () from {d}.t order by 1") == [
        (D("0.009708738"),),
        (D("0.019417476"),),
        (D("0.970873786"),),
    ]
    assert warehouse.run("select avg(v) over (partition by k), avg(distinct v) over () from {d}.t where v > 5") == [
        (D("10"), D("10"))
    ]
    assert warehouse.run("select avg(v), sum(v) from {d}.t where false") == [(None, None)]


def test_arithmetic__is_exact_through_ctes_views_dml_and_parameters(warehouse):
    warehouse.run("create table {d}.t (k string, v numeric, u numeric)")
    warehouse.run("insert into {d}.t values ('a', numeric '1', null), ('b', numeric '2', null)")
    warehouse.run("update {d}.t set u = v / 3 where true")
    warehouse.run("""
        merge {d}.t t using (select k, v * 2 as twice from {d}.t) s on t.k = s.k and s.k = 'b'
        when matched then update set u = s.twice / 7
        when not matched then insert (k, v, u) values (concat(s.k, '2'), s.twice, s.twice / 9)
    """)
    assert warehouse.run("select k, v, u from {d}.t order by k") == [
        ("a", D("1"), D("0.333333333")),
        ("a2", D("2"), D("0.222222222")),
        ("b", D("2"), D("0.571428571")),
    ]
    warehouse.run("create view {d}.inner_view as with x as (select k, v / 3 as third from {d}.t) select * from x")
    warehouse.run("create view {d}.outer_view as select k, third * third as square from {d}.inner_view")
    assert warehouse.value("select square / 7 from {d}.outer_view where k = 'b'") == D("0.063492064")
    warehouse.run("create table {d}.made as select k, square from {d}.outer_view")
    made = warehouse.client.get_table(f"ballast.{warehouse.dataset}.made")
    assert [field.field_type for field in made.schema] == ["STRING", "NUMERIC"]
    assert warehouse.value("select @x / 3", x=("NUMERIC", D("1"))) == D("0.333333333")
    wide = ("BIGNUMERIC", D("2.000000000000000001"))
    assert warehouse.value("select v * @x from {d}.t where k = 'b'", x=wide) == D("4.000000000000000002")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("bignumeric '100000000000000000000'", "Could not convert|out of range"),
        ("bignumeric '10000000000' * bignumeric '10000000000'", "overflow"),
        ("numeric '99999999999999999999999999999' * numeric '10'", "overflow"),
        ("numeric '1' / numeric '0'", "Division by zero"),
    ],
)
def test_what_does_not_fit__is_an_error(warehouse, expression, reason):
    with pytest.raises(BadRequest, match=reason):
        warehouse.value(f"select {expression}")


def test_division_in_a_function__fails_on_decimals_rather_than_be_inexact(warehouse):
    warehouse.run("create function {d}.third(x float64) as (x / 3)")
    assert warehouse.value("select {d}.third(1.5e0)") == 0.5
    with pytest.raises(BadRequest, match="cast"):
        warehouse.value("select {d}.third(numeric '1')")


def test_tables_made_over_rest__have_both_types(warehouse):
    from google.cloud import bigquery

    table = bigquery.Table(f"ballast.{warehouse.dataset}.t")
    table.schema = [bigquery.SchemaField("n", "NUMERIC"), bigquery.SchemaField("q", "BIGNUMERIC")]
    warehouse.client.create_table(table)
    assert warehouse.insert("t", [{"n": "65000.123456789", "q": "0.000000000000000001"}]) == []
    assert warehouse.read("t") == [(D("65000.123456789"), D("0.000000000000000001"))]
    columns = "select column_name, data_type from {d}.INFORMATION_SCHEMA.COLUMNS where table_name = 't' order by 1"
    assert warehouse.run(columns) == [("n", "NUMERIC"), ("q", "BIGNUMERIC")]
