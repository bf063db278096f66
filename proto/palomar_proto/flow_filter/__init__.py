"""The rules of flow.FlowFilter: what a valid value is, and which events match it.

Semantics are those of Hubble 1.19.4. Every field has a parse function, which takes the field's
proto name and its values, raises FilterError naming field, value and rule, and gives a small
immutable form. What decides on messages and what decides on columns both start from that form, so
that there is one set of rules.

Modules, their parse functions, the parsed forms (where several are told they are alternatives in a
tuple), and what their `matches` is asked with:

    address        parse_addresses        AddressSet(texts, prefixes); address text
    pod_name       parse_name_prefixes    NamePrefix(namespace, prefix), ...; namespace, name
    workload       parse_workloads        WorkloadPattern(name, kind), ...; name, kind
    fqdn           parse_fqdns            NamePatterns(expression); a DNS name
    node_name      parse_node_names       NamePatterns(expression); full_name(node name)
    label_selector parse_label_selectors  LabelSelector(requirements), ...; texts of labels
    cluster        parse_cluster_names    frozenset of names
    port           parse_ports            frozenset of numbers
    protocol       parse_protocols        frozenset of members of l4's and l7's oneof
    tcp_flags      parse_tcp_flags        frozenset of bits, all of which have to be set
    event_type     parse_event_types      EventTypePattern(type, sub_type), ...; type, subtype
    interface      parse_interfaces       InterfacePattern(index, name), ...; index, name
    http           parse_status_codes     StatusCodes(codes, prefixes); code
    http           parse_methods          frozenset of case-folded methods
    http           parse_headers          frozenset of (key, value)
    pattern        parse_patterns         Patterns(sources): http_path, http_url; text
    dns_query      parse_dns_queries      Patterns(sources); text
    cel            parse_cel_expressions  CelExpressions(sources); a flow, or None
    enumeration    parse_values           frozenset: uuid, verdict, identity …

On messages: `parse_filter` gives, for every field that is set, the parsed form and a function that
says whether an event matches; `compile_filter` makes one matcher of a filter, `compile_lists` of
both lists of a request.
"""

from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.event import Event, EventPredicate, FieldMatcher
from palomar_proto.flow_filter.matcher import (
    FIELDS,
    ListMatcher,
    Matcher,
    compile_filter,
    compile_lists,
    parse_filter,
)

__all__ = [
    "FIELDS",
    "Event",
    "EventPredicate",
    "FieldMatcher",
    "FilterError",
    "ListMatcher",
    "Matcher",
    "compile_filter",
    "compile_lists",
    "parse_filter",
]
