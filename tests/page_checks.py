"""What tests ask of a page: its policy, its scripts, its shape, and what a template reads."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from html_tree import parse_html
from jinja2 import Environment, meta, nodes

from reportgen.evidence.kinds import KINDS
from reportgen.paths import find_templates


def directives_of(policy: str) -> dict[str, list[str]]:
    """Return the sources of each directive of a policy."""
    return {name: sources for name, *sources in (directive.split() for directive in policy.split(";"))}


def hash_of(script: str) -> str:
    """Return what a policy lists for a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def read_page(html: str) -> tuple[list[str], list[str]]:
    """Return the sources that may run by a page's own policy, and the hashes of its inline scripts."""
    page = parse_html(html)
    (policy,) = (meta for meta in page.find("meta") if meta.attributes.get("http-equiv") == "Content-Security-Policy")
    inline = [script for script in page.find("script") if not script.attributes.keys() & {"src", "type"}]
    return directives_of(policy.attributes["content"])["script-src"], [hash_of(script.text) for script in inline]


def names_read_by(template: str) -> set[str]:
    """Return the names that a template and its parts read."""
    environment, names, todo = Environment(), set(), [template]
    while todo:
        tree = environment.parse((find_templates() / todo.pop()).read_text("utf-8"))
        # What a template imports or sets at its top it has in its blocks, too.
        own = {name for found in tree.find_all(nodes.FromImport) for name in found.names}
        own |= {found.target.name for found in tree.find_all(nodes.Assign) if isinstance(found.target, nodes.Name)}
        names |= meta.find_undeclared_variables(tree) - own
        for part in meta.find_referenced_templates(tree):
            todo += [part] if part else [kind.template for kind in KINDS if kind.template]
    return names - {"kind"}  # whose section it is


def key_in(path: Path) -> str:
    """Return the key in the head of a page; empty if it has none."""
    keys = [
        tag.attributes["content"]
        for tag in parse_html(path.read_text("utf-8")).find("meta")
        if tag.attributes.get("name") == "reportgen-key"
    ]
    return keys[0] if keys else ""
