{# The current time; a macro of its own so that unit tests can hold it still. #}
{% macro current_time() -%} current_timestamp() {%- endmacro %}
