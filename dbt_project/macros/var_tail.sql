{# Number of scenarios in the tail: ceil(n * (1 - confidence)), in whole numbers so that nothing is rounded twice. #}
{% macro tail_observations(observations, confidence_bp) -%}
    {%- if not 5000 < confidence_bp < 10000 -%}
        {{
            exceptions.raise_compiler_error(
                "var_confidences_bp: " ~ confidence_bp ~ " is not between 5000 and 10000; 9900 is 99%"
            )
        }}
    {%- endif -%}
    {{ (observations * (10000 - confidence_bp) + 9999) // 10000 }}
{%- endmacro %}

{# Ranks of a quantile and of its distribution-free interval among losses from the worst on, as a dict of `tail`, `upper`
   and `lower`; none where the sample cannot bound that end. The losses beyond the quantile are Binomial(n, 1 - confidence);
   a milder end of rank r is too mild, or a worse one of rank r too bad, with at most half of what the interval leaves out.
   `assets.risk.engine.levels.tail_ranks` computes the same. #}
{% macro tail_ranks(observations, confidence_bp) -%}
    {%- set left_out = (10000 - var("var_interval_confidence_bp")) / 20000 -%}
    {%- set beyond = (10000 - confidence_bp) / 10000 -%}
    {%- set state = namespace(point=(1 - beyond) ** observations, below=0.0, upper=none, lower=none) -%}
    {%- for rank in range(1, observations + 1) if state.lower is none -%}
        {#- `point` is P(N = rank - 1), `below` becomes P(N <= rank - 1). -#}
        {%- set state.below = state.below + state.point -%}
        {%- if state.below <= left_out -%} {%- set state.upper = rank -%} {%- endif -%}
        {%- if 1 - state.below <= left_out -%} {%- set state.lower = rank -%} {%- endif -%}
        {%- set state.point = state.point * (observations - rank + 1) / rank * beyond / (1 - beyond) -%}
    {%- endfor -%}
    {{
        return(
            {
                "tail": tail_observations(observations, confidence_bp) | int,
                "upper": state.upper,
                "lower": state.lower,
            }
        )
    }}
{%- endmacro %}

{# How many of the worst losses of a window must be known for every figure that is taken from it. #}
{% macro deepest_rank(observations) -%}
    {%- set found = namespace(rank=1) -%}
    {%- for bp in var("var_confidences_bp") -%}
        {%- set ranks = tail_ranks(observations, bp) -%}
        {%- set found.rank = [found.rank, ranks.tail, ranks.lower or 0] | max -%}
    {%- endfor -%}
    {{ return(found.rank) }}
{%- endmacro %}

{% macro confidence_literal(confidence_bp) -%} numeric '{{ "%.4f" | format(confidence_bp / 10000) }}' {%- endmacro %}

{# Assets that the book holds and closes exist of, sorted; they become columns of the wide models.
   A macro of its own, so that unit tests can name them. #}
{% macro scenario_assets() -%}
    {%- if execute and flags.INTROSPECT -%}
        {%- set query -%}
            select asset
            from {{ ref("int_risk__exposures_as_of") }}
            where asset in (select asset from {{ ref("int_risk__asset_coverage") }})
            group by asset
            order by asset
        {%- endset -%}
        {{ return(run_query(query).columns[0].values() | list) }}
    {%- else -%} {{ return(["BTC", "ETH"]) }}
    {%- endif -%}
{%- endmacro %}
