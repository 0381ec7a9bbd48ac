# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Prompt templates that users write."""

import dataclasses
import re
from pathlib import Path

import pytest

from ddg_hf.data.tasks import TASKS, get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import PromptTemplate
from ddg_hf.evaluation.icl.templates import DEFAULT_BLOCK, read_template

SST2 = get_task("sst2")
MNLI = get_task("mnli")


def from_block(block, spec=SST2, **options):
    return PromptTemplate.from_task(spec, block=block, **options)


@pytest.mark.parametrize(
    "block, demonstration, query, continuation, terminator",
    [
        # no newline at the end: an empty line between blocks
        ("{{ sentence }} => {{ label }}", "dull => negative\n\n", "dull =>", " positive", "\n\n"),
        ("{{ sentence }} => {{ label }}\n", "dull => negative\n", "dull =>", " positive", "\n"),
        ("{{ sentence }}|{{ label }}\n\n\n", "dull|negative\n\n\n", "dull|", "positive", "\n\n\n"),
        ("A: {{ Review }}\nB:\n{{ label }}\n", "A: dull\nB:\nnegative\n", "A: dull\nB:\n", "positive", "\nA:"),
        ("{{ texts[0] }}\t {{ label }}\n", "dull\t negative\n", "dull", "\t positive", "\n"),
        (
            "{{ sentence }} It was {{ label }}, I think.",
            "dull It was negative, I think.\n\n",
            "dull It was",
            " positive",
            ", I think.\n\n",
        ),
        (
            "# One of {{ label_words|join(' or ') }}\n{% if sentence %}\n> {{ sentence|upper }}\n{% endif %}\n"
            "{{ answer_name }}: {{ label }}\n\n",
            "# One of negative or positive\n> DULL\nSentiment: negative\n\n",
            "# One of negative or positive\n> DULL\nSentiment:",
            " positive",
            "\n\n# One of negative or positive\n>",
        ),
    ],
)
def test_blocks(block, demonstration, query, continuation, terminator):
    template = from_block(block, instruction="Look.")
    assert template.demonstration(("dull",), 0) == demonstration
    assert template.query(("dull",)) == query
    assert (template.continuation(1), template.terminator) == (continuation, terminator)
    prompts = template.prompts([(("dull",), 0), (("fine",), 1)], [("dull",)])
    assert prompts.prefix == f"Look.\n\n{demonstration}{template.demonstration(('fine',), 1)}"
    # a demonstration is a query, its answer, and the beginning of what follows
    assert (query + template.continuation(0) + terminator).startswith(demonstration)


def test_columns_and_field_names_of_two_texts():
    by_column = from_block("{{ premise }} / {{ hypothesis }}: {{ label }}\n", MNLI)
    by_field = from_block("{{ Premise }} / {{ Hypothesis }}: {{ label }}\n", MNLI)
    by_number = from_block("{{ texts|join(' / ') }}: {{ label }}\n", MNLI)
    for template in (by_column, by_field, by_number):
        assert template.query(("it rains", "it is wet")) == "it rains / it is wet:"


@pytest.mark.parametrize("name", TASKS)
def test_the_default_written_out(name):
    """The default layout as a user would write it for one task."""
    spec = get_task(name)
    fields = zip(spec.field_names, spec.text_columns, strict=True)
    block = "".join(f"{field}: {{{{ {column} }}}}\n" for field, column in fields)
    written = from_block(f"{block}{spec.answer_name}: {{{{ label }}}}", spec)
    default = PromptTemplate.from_task(spec)
    assert default.block == DEFAULT_BLOCK
    for texts in (("some text", "more"), ("", " "), ("a\nb", "{{ label }}")):
        rows = [(texts[: len(spec.text_columns)], label) for label in range(spec.num_labels)]
        assert written.prompts(rows, [texts for texts, _ in rows]) == default.prompts(rows, [t for t, _ in rows])


def test_the_default_in_the_documentation():
    page = Path(__file__).resolve().parents[3] / "docs" / "icl.md"
    (block,) = re.findall(r"```jinja\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for spec in (SST2, MNLI):
        rows = [(("a", "b")[: len(spec.text_columns)], 0)]
        written, default = from_block(block + "\n", spec), PromptTemplate.from_task(spec)
        assert written.prompts(rows, [rows[0][0]]) == default.prompts(rows, [rows[0][0]])


def test_a_task_may_carry_a_template():
    spec = dataclasses.replace(SST2, prompt_template="{{ sentence }} ({{ label }})\n")
    assert PromptTemplate.from_task(spec).demonstration(("dull",), 0) == "dull (negative)\n"
    # and the user's comes before it
    assert from_block("{{ sentence }}: {{ label }}\n", spec).demonstration(("dull",), 0) == "dull: negative\n"


def test_the_template_may_rewrite_labels():
    template = from_block("{{ sentence }} {{ label|upper }}!\n", instruct=True)
    assert template.continuations() == [" NEGATIVE", " POSITIVE"]
    assert template.instruction.endswith("The possible answers are: NEGATIVE, POSITIVE.")
    assert template.demonstration(("dull",), 0) == "dull NEGATIVE!\n"
    assert template.parse("negative") == 0


def test_answers_may_go_on_as_the_template_does():
    template = from_block("{{ sentence }} It was {{ label }}, I think.")
    assert [template.parse(answer) for answer in ("negative", "Positive, I", "positive, I think.", "positive,")] == [
        0,
        1,
        1,
        1,
    ]
    for answer in ("positive I think", "positive, I think. Not", "positively", ", I think.", ""):
        assert template.parse(answer) == -1


def test_texts_are_no_templates():
    text = "{{ label_words }} {% for x in y %} {{ 7 * 7 }} {# gone #}"
    assert from_block("{{ sentence }} => {{ label }}").query((text,)) == f"{text} =>"
    assert PromptTemplate.from_task(SST2, instruction=text).prefix([]) == f"{text}\n\n"


@pytest.mark.parametrize(
    "block, message",
    [
        ("{{ sentence }}", "writes the label nowhere; write {{ label }} in it exactly once"),
        ("{{ label }} {{ sentence }} {{ label }}", "writes the label 2 times"),
        ("{% for i in range(3) %}{{ label }}{% endfor %}", "writes the label 3 times"),
        ("{{ sentense }} {{ label }}", "uses 'sentense', which does not exist. Did you mean 'sentence'?"),
        ("{% if texts|length > 9 %}{{ sentense }}{% endif %} {{ label }}", "uses 'sentense', which does not exist"),
        ("{{ sentence }\n{{ label }}", "has a mistake in line 1"),
        ("{{ sentence }}\n{% if %}{{ label }}", "has a mistake in line 2"),
        ("{{ sentence|nothing }} {{ label }}", "No filter named 'nothing'"),
        ("{{ sentence.nothing }} {{ label }}", "template fails: 'str object' has no attribute 'nothing'"),
        ("{{ 1 / 0 }} {{ label }}", "template fails: division by zero"),
        ("{% include 'other' %} {{ label }}", "template fails"),
        ("{{ label }}: {{ sentence }}\n", "writes a text behind {{ label }}"),
        (
            "{{ sentence }} {% if label == 'negative' %}bad{% endif %} {{ label }}\n",
            "changes with the label around it",
        ),
        ("{{ sentence }} {{ label[-6:-6] }}{{ label }}{{ label[:0] }}", None),
        ("{{ sentence }} {{ label|last }}\n", "two labels as 'e'"),
    ],
)
def test_mistakes(block, message):
    if message is None:
        assert from_block(block).continuation(0) == " negative"
        return
    with pytest.raises(UserError) as caught:
        from_block(block).query(("some text",))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_stands_next_to_the_label_is_the_same_in_all_rows():
    template = from_block("{{ sentence }}{% if sentence|length < 9 %} {% endif %}{{ label }}\n")
    assert template.query(("short",)) == "short"
    with pytest.raises(UserError, match="next to {{ label }} for other texts"):
        template.query(("a longer text",))


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__.__mro__[1].__subclasses__()",
        "texts.__class__",
        "fields.__init__.__globals__",
        "cycler.__init__.__globals__.os.system('true')",
        "lipsum.__globals__['os'].popen('true').read()",
        "range(10 ** 9)|list|length",
        "label_words.append('x')",
        "('%s' % 1).format_map.__globals__",
    ],
)
def test_templates_cannot_run_code(expression):
    with pytest.raises(UserError, match="the prompt template fails: .*; change the template"):
        from_block("{{ sentence }} {{ " + expression + " }} {{ label }}")


def test_read_from_a_file(tmp_path):
    file = tmp_path / "block.jinja"
    file.write_bytes("\ufeff{{ sentence }}\r\nIt was {{ label }}.\\n\n".encode())
    assert read_template(str(file)) == "{{ sentence }}\nIt was {{ label }}.\\n\n"


def test_read_from_the_command_line():
    assert read_template("{{ text }}\\nIt was {{ label }}\\n") == "{{ text }}\nIt was {{ label }}\n"
    assert read_template("a\n{{ label }}") == "a\n{{ label }}"


@pytest.mark.parametrize("value", ["missing.jinja", "Review: {text}", "", "x" * 5000, "a\0b"])
def test_neither_file_nor_template(value):
    with pytest.raises(UserError, match="cannot be read .*; give a file of UTF-8 text or a template with {{ label }}"):
        read_template(value)


def test_file_that_is_no_text(tmp_path):
    (tmp_path / "block").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        read_template(str(tmp_path / "block"))
    with pytest.raises(UserError, match="cannot be read"):
        read_template(str(tmp_path))
