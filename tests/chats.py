"""Chat templates in the style of families, and messages of every form."""

from __future__ import annotations

from typing import Any

_TEXT = "{% macro say(c) %}{% if c is string %}{{ c }}{% elif c %}{% for p in c %}{{ p.text }}{% endfor %}{% endif %}"
_TEXT += "{% endmacro %}"
_CALLS = "{% for t in m.tool_calls or [] %}"
STYLES = {
    "chatml": _TEXT + "{% if tools %}<|im_start|>system\nYou have {{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}{% if m.name %} name={{ m.name }}{% endif %}\n{{ say(m.content) }}"
    + _CALLS + "<tool_call>{{ t.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "llama": _TEXT + "{{ bos_token }}{% for m in messages %}[header]{{ m.role }}"
    "{% if m.name %} ({{ m.name }}){% endif %}[/header]\n\n{{ say(m.content) | trim }}" + _CALLS
    + '{"name": "{{ t.function.name }}", "parameters": '
    "{{ t.function.arguments | tojson }}}{% endfor %}[eot]{% endfor %}"
    "{% if add_generation_prompt %}[header]assistant[/header]\n\n{% endif %}",
    "mistral": _TEXT + "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}[INST] {{ say(m.content) }}[/INST]"
    "{% elif m.role in ('system', 'developer') %}[{{ m.role }}]{{ say(m.content) }}{% elif m.role == 'tool' %}"
    "[TOOL_RESULTS]{{ m.name }}|{{ m.tool_call_id }}|{{ say(m.content) }}[/TOOL_RESULTS]{% elif m.tool_calls %}"
    "[TOOL_CALLS]" + _CALLS + "{% if t.id | length != 9 %}{{ raise_exception('id of 9') }}{% endif %}"
    "{{ t.function | tojson }}{{ t.id }}{% endfor %}{{ eos_token }}{% else %} {{ say(m.content) }}{{ eos_token }}"
    "{% endif %}{% endfor %}",
    "gemma": "{{ bos_token }}{% for m in messages %}<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{% if m.content is string %}{{ m.content | trim }}{% else %}{% for p in m.content or [] %}"
    "{% if p.type == 'text' %}{{ p.text | trim }}{% endif %}{% endfor %}{% endif %}" + _CALLS
    + "call:{{ t.function.name }}("
    "{% for k, v in t.function.arguments.items() %}{{ k }}:{{ v }}{% endfor %}){% endfor %}</turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}",
    "phi": _TEXT + "{% for m in messages %}<|{{ m.role }}|>\n{{ say(m.content) }}" + _CALLS
    + "<|tool|>{{ t.function.name }}({{ t.function.arguments | tojson }}){% endfor %}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
    "deepseek": _TEXT + "{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m.role in ('system', 'developer') %}"
    "{% set ns.system = ns.system + m.role + say(m.content) %}{% endif %}{% endfor %}{{ bos_token }}{{ ns.system }}"
    "{% for m in messages %}{% if m.role == 'user' %}<User>{{ say(m.content) }}{% elif m.role == 'tool' %}<output>"
    "{{ say(m.content) }}{% elif m.role == 'assistant' %}<Assistant>{{ say(m.content) }}" + _CALLS
    + "<call>{{ t.type }}<sep>{{ t.function.name }}\n{{ t.function.arguments | tojson }}{% endfor %}{{ eos_token }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<Assistant>{% endif %}",
    "granite": _TEXT + "{% if messages[0].role != 'system' %}<role>system</role>You are a model.\n{% endif %}"
    "{% for m in messages %}<role>{{ m.role }}</role>{{ say(m.content) }}" + _CALLS
    + "<|tool_call|>{{ [t.function] | tojson }}{% endfor %}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<role>assistant</role>{% endif %}",
    "command": "{% for m in messages %}<TURN><{{ m.role | upper }}>"
    "{% for p in m.content or [] %}{{ p.text }}{% endfor %}"
    + _CALLS + "Action: {{ t.function.name }} {{ t.function.arguments | tojson }}{% endfor %}<END>{% endfor %}"
    "{% if add_generation_prompt %}<TURN><ASSISTANT>{% endif %}",
}  # fmt: skip
"""Small templates in the style of families; those of the last one take a content in parts alone."""
CALL = {"type": "function", "id": "call00001", "function": {"name": "rain", "arguments": {"city": "Oslo", "days": [1]}}}
PARTS = [{"type": "text", "text": "Rain in Oslo?"}, {"type": "text", "text": " Today."}]
FORMS: dict[str, list[dict[str, Any]]] = {
    "plain": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "developer": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "parts": [{"role": "user", "content": PARTS}],
    "name": [{"role": "user", "name": "ada", "content": "Hi"}],
    "tools": [
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "name": "rain", "tool_call_id": "call00001", "content": "no"},
    ],
    "no content": [{"role": "user", "content": "Rain?"}, {"role": "assistant", "tool_calls": [CALL]}],
}
