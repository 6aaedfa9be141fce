"""The names of BigQuery's built-in functions: what is called and is not here is a routine or does not exist.

Source: the "all functions" page of the GoogleSQL reference for BigQuery. Qualified names keep their prefix;
`SAFE.` may stand before any of them and is not listed.
"""

from __future__ import annotations

_AGGREGATE = """
any_value array_agg array_concat_agg avg bit_and bit_or bit_xor count countif grouping logical_and logical_or max
max_by min min_by string_agg sum approx_count_distinct approx_quantiles approx_top_count approx_top_sum corr
covar_pop covar_samp stddev stddev_pop stddev_samp var_pop var_samp variance
"""
# What BigQuery can maintain incrementally: "Create materialized views", supported aggregation functions.
_INCREMENTAL = """
any_value approx_count_distinct array_agg avg bit_and bit_or bit_xor count countif hll_count.init logical_and
logical_or max max_by min min_by sum
"""
_WINDOW = """
cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank percentile_cont percentile_disc
rank row_number
"""
_ARRAY = """
array array_concat array_first array_last array_length array_reverse array_slice array_to_string generate_array
generate_date_array generate_range_array generate_timestamp_array offset ordinal safe_offset safe_ordinal unnest
"""
_CONDITIONAL = "coalesce if ifnull nullif"
_CONVERSION = """
cast safe_cast parse_bignumeric parse_numeric bool float64 int64 string lax_bool lax_float64 lax_int64 lax_string
"""
_TIME = """
current_date current_datetime current_time current_timestamp date date_add date_bucket date_diff date_from_unix_date
date_sub date_trunc datetime datetime_add datetime_bucket datetime_diff datetime_sub datetime_trunc extract
format_date format_datetime format_time format_timestamp gap_fill justify_days justify_hours justify_interval
last_day make_interval parse_date parse_datetime parse_time parse_timestamp range range_bucket range_contains
range_end range_intersect range_overlaps range_sessionize range_start time time_add time_diff time_sub time_trunc
timestamp timestamp_add timestamp_bucket timestamp_diff timestamp_micros timestamp_millis timestamp_seconds
timestamp_sub timestamp_trunc unix_date unix_micros unix_millis unix_seconds
"""
_JSON = """
json_array json_array_append json_array_insert json_extract json_extract_array json_extract_scalar
json_extract_string_array json_flatten json_keys json_object json_query json_query_array json_remove json_set
json_strip_nulls json_type json_value json_value_array parse_json to_json to_json_string
"""
_MATHS = """
abs acos acosh asin asinh atan atan2 atanh cbrt ceil ceiling cos cosh cosine_distance cot coth csc csch div exp
euclidean_distance floor greatest ieee_divide is_inf is_nan least ln log log10 mod pow power rand round safe_add
safe_divide safe_multiply safe_negate safe_subtract sec sech sign sin sinh sqrt tan tanh trunc bit_count
"""
_STRING = """
ascii byte_length char_length character_length chr code_points_to_bytes code_points_to_string collate concat
contains_substr edit_distance ends_with format from_base32 from_base64 from_hex initcap instr left length lower lpad
ltrim normalize normalize_and_casefold octet_length regexp_contains regexp_extract regexp_extract_all regexp_instr
regexp_replace regexp_substr repeat replace reverse right rpad rtrim safe_convert_bytes_to_string soundex split
starts_with strpos substr substring to_base32 to_base64 to_code_points to_hex translate trim unicode upper
"""
_HASH_SECURITY_UTILITY = """
farm_fingerprint md5 sha1 sha256 sha512 session_user error generate_uuid struct typeof deterministic_decrypt_bytes
deterministic_decrypt_string deterministic_encrypt dlp_deterministic_decrypt dlp_deterministic_encrypt dlp_key_chain
"""
_TEXT_AND_TABLE = """
appends bag_of_words changes external_object_transform external_query search text_analyze tf_idf vector_search
"""
_GEOGRAPHY = """
s2_cellidfrompoint s2_coveringcellids st_area st_asbinary st_asgeojson st_astext st_buffer st_centroid st_contains
st_distance st_dwithin st_geogfrom st_geogfromgeojson st_geogfromtext st_geogfromwkb st_geogpoint st_geohash
st_intersection st_intersects st_length st_makeline st_makepolygon st_union st_union_agg st_within st_x st_y
"""
_QUALIFIED = """
aead.decrypt_bytes aead.decrypt_string aead.encrypt
hll_count.extract hll_count.init hll_count.merge hll_count.merge_partial
keys.add_key_from_raw_bytes keys.keyset_chain keys.keyset_from_json keys.keyset_length keys.keyset_to_json
keys.new_keyset keys.new_wrapped_keyset keys.rewrap_keyset keys.rotate_keyset keys.rotate_wrapped_keyset
kll_quantiles.extract_float64 kll_quantiles.extract_int64 kll_quantiles.extract_point_float64
kll_quantiles.extract_point_int64 kll_quantiles.init_float64 kll_quantiles.init_int64 kll_quantiles.merge_float64
kll_quantiles.merge_int64 kll_quantiles.merge_partial kll_quantiles.merge_point_float64
kll_quantiles.merge_point_int64
net.host net.ip_from_string net.ip_net_mask net.ip_to_string net.ip_trunc net.ipv4_from_int64 net.ipv4_to_int64
net.public_suffix net.reg_domain net.safe_ip_from_string
"""

BIGQUERY_FUNCTIONS: frozenset[str] = frozenset(
    " ".join(
        (
            _AGGREGATE,
            _WINDOW,
            _ARRAY,
            _CONDITIONAL,
            _CONVERSION,
            _TIME,
            _JSON,
            _MATHS,
            _STRING,
            _HASH_SECURITY_UTILITY,
            _TEXT_AND_TABLE,
            _GEOGRAPHY,
            _QUALIFIED,
        )
    ).split()
)
BUILTIN_NAMESPACES: frozenset[str] = frozenset({"aead", "hll_count", "keys", "kll_quantiles", "net"})

NONDETERMINISTIC: frozenset[str] = frozenset(
    {"current_date", "current_datetime", "current_time", "current_timestamp", "generate_uuid", "rand", "session_user"}
)
UNREPEATABLE_CALLS: frozenset[str] = frozenset({"generate_uuid", "rand", "session_user"})

AGGREGATES: frozenset[str] = frozenset(_AGGREGATE.split()) | {"hll_count.init", "hll_count.merge_partial"}
INCREMENTAL_AGGREGATES: frozenset[str] = frozenset(_INCREMENTAL.split())

# Names that DuckDB or another warehouse knows, and what BigQuery calls them.
REPLACEMENTS: dict[str, str] = {
    "arg_max": "max_by",
    "arg_min": "min_by",
    "argmax": "max_by",
    "argmin": "min_by",
    "bool_and": "logical_and",
    "bool_or": "logical_or",
    "date_part": "extract(part from x)",
    "datediff": "date_diff(later, earlier, day)",
    "day": "extract(day from x)",
    "decode": "case",
    "epoch": "unix_seconds",
    "epoch_ms": "unix_millis",
    "epoch_us": "unix_micros",
    "first": "array_agg(x order by y limit 1)[offset(0)] or any_value(x having min y)",
    "generate_series": "unnest(generate_array(a, b))",
    "group_concat": "string_agg",
    "hour": "extract(hour from x)",
    "iif": "if",
    "isfinite": "not is_inf(x) and not is_nan(x)",
    "isnan": "is_nan",
    "last": "array_agg(x order by y desc limit 1)[offset(0)] or any_value(x having max y)",
    "len": "length",
    "list": "array_agg",
    "list_contains": "x in unnest(a)",
    "list_value": "[a, b]",
    "listagg": "string_agg",
    "median": "percentile_cont(x, 0.5) over ()",
    "month": "extract(month from x)",
    "now": "current_timestamp()",
    "nvl": "ifnull",
    "printf": "format",
    "quantile_cont": "percentile_cont(x, q) over ()",
    "quantile_disc": "percentile_disc(x, q) over ()",
    "random": "rand",
    "read_csv": "a seed or a load job",
    "read_parquet": "a load job",
    "regexp_matches": "regexp_contains",
    "strftime": "format_timestamp or format_date",
    "string_split": "split",
    "strptime": "parse_timestamp or parse_date",
    "struct_pack": "struct(a as x)",
    "to_timestamp": "timestamp_seconds or parse_timestamp",
    "today": "current_date()",
    "try_cast": "safe_cast",
    "uuid": "generate_uuid",
    "year": "extract(year from x)",
}
