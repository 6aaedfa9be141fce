-- Parts are rounded to nine decimals each: their sum may miss the book by one of these a part.
select
    as_of_date,
    price_set_id,
    part_kind,
    confidence,
    sum(component_var_usd) - max(book_var_usd) as var_difference_usd,
    sum(component_es_usd) - max(book_es_usd) as es_difference_usd
from {{ ref("var_components") }}
where book_var_usd is not null
group by as_of_date, price_set_id, part_kind, confidence
having
    countif(component_var_usd is null or component_es_usd is null) > 0
    or abs(sum(component_var_usd) - max(book_var_usd))
    > cast(greatest(count(*) + 1, 100) as numeric) * numeric '0.00000001'
    + abs(max(book_var_usd)) * numeric '0.000000001'
    or abs(sum(component_es_usd) - max(book_es_usd))
    > cast(greatest(count(*) + 1, 100) as numeric) * numeric '0.00000001'
    + abs(max(book_es_usd)) * numeric '0.000000001'
