# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Texts that are empty, cut off, or carry what only a model or a terminal should see."""

import re
import unicodedata
from collections.abc import Sequence

from .findings import FAIL, OK, WARN, Finding, Outcome, Texts
from .words import normalise

TRUNCATED_FAIL_SHARE = 0.1

# Words with which an English sentence does not end, not in speech either, where "from" or "is" may.
_OPEN_WORDS = frozenset(
    "a an the and or nor but because although whereas unless than whether onto upon via among my your our their "
    "every".split()
)
_CLOSED = re.compile(r"[.!?…。！？]['\"”’»)\]}\s]*$|(?:''|-rrb-)\s*$", re.IGNORECASE)
_OPEN_END = re.compile(r"(?:[,(\[{&«„“`–—-]|-lrb-)$", re.IGNORECASE)
_EMOTICON = re.compile(r"(?<![^\s.!?,])(?:[:;=]\s?['o^-]?\s?[(\[{]|[(\[{]['o^-]?[:;=])(?!\w)")
_BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"), ("-lrb-", "-rrb-"), ("``", "''"))

# A name in such a token could be any words of a text: it is found, but not repeated.
_NAMED_TOKENS = {
    "<|...|>": r"<\|[^<>|\n]{1,40}\|>",  # <|endoftext|>, <|im_start|>
    "<label_...>": r"<label_[^<>\n]{1,80}>",  # the generator's own
}
_CONTROL_TOKENS = re.compile(
    "|".join(f"({pattern})" for pattern in _NAMED_TOKENS.values()) + r"|<sep>|</?s>|<(?:bos|eos|pad|unk|mask|cls)>"
    r"|<(?:start|end)_of_(?:turn|text|image)>|<(?:unused|extra_id_|reserved_special_token_)[0-9]{1,4}>"
    r"|\[/?(?:CLS|SEP|PAD|MASK|UNK|BOS|EOS|INST)\]|\[unused[0-9]{1,4}\]|<</?SYS>>",
)
# C0 and C1, marks that change the direction of the text after them, and what stands for broken bytes.
_CONTROL_CHARACTERS = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ufffd]")


def find_empty(rows: Sequence[Texts]) -> list[Finding]:
    """
    Finds texts without content.

    Returns:
        Findings with the details `column` (its position) and `kind`: `blank` (nothing but white space and characters
        that show nothing) or `wordless` (no letter or digit).
    """
    findings = []
    for row, texts in enumerate(rows):
        for column, text in enumerate(texts):
            if not normalise(text):
                shown = any(unicodedata.category(char)[0] not in "ZC" for char in text)
                findings.append(Finding(row, {"column": column, "kind": "wordless" if shown else "blank"}))
                break
    return findings


def judge_empty(findings: Sequence[Finding]) -> Outcome:
    """Returns the outcome: `fail` if a text is blank, `warn` if one has no word."""
    kinds = [finding.details["kind"] for finding in findings]
    counts = {kind: kinds.count(kind) for kind in ("blank", "wordless")}
    return Outcome(FAIL if counts["blank"] else WARN if findings else OK, len(findings), counts, list(findings))


def truncation(text: str) -> str | None:
    """
    Says why a text looks cut off, or returns `None`.

    A text that ends like a sentence (. ! ? or …, and quotes or brackets after it) never does. Any other does if it
    ends with a comma, a hyphen or dash, or an opening mark (`mark`), with a word that does not end an English
    sentence, such as "the" or "because" (`word`), or within a bracket or quotation that it opened (`bracket`).
    Emoticons such as ":(" are left aside.
    """
    text = _EMOTICON.sub("", text).rstrip()
    if not text or _CLOSED.search(text):
        return None
    if _OPEN_END.search(text):
        return "mark"
    lowered, last = text.lower(), text.split()[-1]
    if last.lower() in _OPEN_WORDS and last != "A":  # "vitamin A"
        return "word"
    if any(lowered.count(opening) > lowered.count(closing) for opening, closing in _BRACKETS):
        return "bracket"
    return "bracket" if text.count('"') % 2 else None


def find_truncated(rows: Sequence[Texts]) -> list[Finding]:
    """Finds texts that look cut off. Returns findings with the details `column` and `kind` ([`truncation`])."""
    findings = []
    for row, texts in enumerate(rows):
        for column, text in enumerate(texts):
            kind = truncation(text)
            if kind is not None:
                findings.append(Finding(row, {"column": column, "kind": kind}))
                break
    return findings


def judge_truncated(findings: Sequence[Finding], num_rows: int) -> Outcome:
    """Returns the outcome: `fail` if 10 % of the rows or more look cut off, `warn` if any does."""
    kinds = [finding.details["kind"] for finding in findings]
    counts = {kind: kinds.count(kind) for kind in ("mark", "word", "bracket")}
    status = OK if not findings else FAIL if len(findings) >= TRUNCATED_FAIL_SHARE * num_rows else WARN
    return Outcome(status, len(findings), counts, list(findings))


def control_tokens(text: str) -> list[str]:
    """
    Returns what a text should not carry: control tokens of language models (`<sep>`, `[CLS]`; `<label_...>` and
    `<|...|>` stand for any name), control characters (C0 and C1) other than tab and line breaks, marks of direction,
    and the replacement character U+FFFD, which stands for broken bytes. Characters are written `U+001B`. Nothing else
    of the text is in it.
    """
    kinds = list(_NAMED_TOKENS)
    tokens = [kinds[match.lastindex - 1] if match.lastindex else match[0] for match in _CONTROL_TOKENS.finditer(text)]
    return tokens + [f"U+{ord(char):04X}" for char in _CONTROL_CHARACTERS.findall(text)]


def find_control_tokens(rows: Sequence[Texts]) -> list[Finding]:
    """Finds texts with [`control_tokens`]. Returns findings with the details `column` and `token` (the first)."""
    findings = []
    for row, texts in enumerate(rows):
        for column, text in enumerate(texts):
            tokens = control_tokens(text)
            if tokens:
                findings.append(Finding(row, {"column": column, "token": tokens[0]}))
                break
    return findings


def judge_control_tokens(findings: Sequence[Finding]) -> Outcome:
    """Returns the outcome: `fail` if there is any."""
    return Outcome(FAIL if findings else OK, len(findings), {}, list(findings))
