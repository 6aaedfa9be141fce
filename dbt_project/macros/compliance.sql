{# A share in percent, cut to four places so that what misses a target never looks as if it did not; NULL where there is
   nothing to take a share of. #}
{% macro share_pct(part, whole) -%}
    if({{ whole }} = 0, null, trunc(cast(100 * ({{ part }}) as numeric) / ({{ whole }}), 4))
{%- endmacro %}

{# The value at a percentile by nearest rank, of an array in ascending order and its length; NULL of none. The sum is in
   parentheses because the emulator divides its last term otherwise. #}
{% macro nearest_rank(ordered, length, percentile) -%}
    {{ ordered }} [safe_ordinal(div(({{ percentile }} * {{ length }} + 99), 100))]
{%- endmacro %}
