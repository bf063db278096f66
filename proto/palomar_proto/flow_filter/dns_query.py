"""dns_query: regular expressions that are looked for in the name a DNS flow asks for.

They match DNS records only, and there an expression that matches nothing in particular matches an
empty query too. Parsed form: `pattern.Patterns`.
"""

from __future__ import annotations

from palomar_proto.flow_filter.pattern import parse_patterns as parse_dns_queries

__all__ = ["parse_dns_queries"]
