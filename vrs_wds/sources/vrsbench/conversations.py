"""`VRSBench_train.json`: conversations, one record a task item, as LLaVA wants them."""

import re
from itertools import pairwise
from pathlib import Path

import msgspec

from vrs_wds.sources.vrsbench.json_text import decode_json

QUESTION_WRAPPERS: tuple[tuple[str, str], ...] = (
    ("Based on the image, respond to this question with a short answer: ", ". Answer:"),
    ("Based on the image, respond to this question with a short answer: ", "."),
    ("Based on the image, respond to this question with a short answer: ", ""),
    ("Given the image, answer the following question with no more than three words. ", ""),
    (
        "Use the provided image to answer the question: ",
        " Provide your answer as short as possible.",
    ),
    ('What is the answer to the following question? "', '"'),
    ('What is the answer to the following question "', '"'),
    ("What is the answer to the following question ", ""),
    ('The question "', '" can be answered using the image. A short answer is'),
    ("The question ", " can be answered using the image. A short answer is"),
    ("Question: ", " Short answer:"),
    ("Question: ", ""),
    ("Q: ", " A:"),
    ("", " A short answer to the question is"),
)
"""What stands before and after the bare question in a `[vqa]` prompt; the first that fits counts.

These are InstructBLIP's templates, some with the marks that VRSBench lost or added.
"""

_PROMPT = re.compile(r"\s*(?:<image>)?\s*\[(\w+)\]\s*(.*)", re.DOTALL)
_REFERRED = re.compile(r"<p>(.*?)</p>", re.DOTALL)


class Turn(msgspec.Struct, frozen=True, gc=False):
    """One thing that is said."""

    speaker: str = msgspec.field(name="from")
    """`human` or `gpt`."""
    value: str


class Conversation(msgspec.Struct, frozen=True, gc=False):
    """A record of `VRSBench_train.json`. Its `id` is the same in all, and left out."""

    image: str
    """File name of the picture, with its extension."""
    conversations: list[Turn]

    def exchanges(self) -> list[tuple[str, str, str]]:
        """Return kind (`caption`, `refer`, `vqa`, ... or empty), prompt and answer of each turn."""
        turns = self.conversations
        asked = [
            (*split_prompt(question.value), answer.value)
            for question, answer in pairwise(turns)
            if question.speaker == "human" and answer.speaker == "gpt"
        ]
        return asked or [("", "", "")]


def read_conversations(path: str | Path) -> list[Conversation]:
    """Read `VRSBench_train.json`; `SourceError` if it is not such a file."""
    return decode_json(Path(path).read_bytes(), list[Conversation], where=str(path))


def split_prompt(value: str) -> tuple[str, str]:
    r"""Split what the human says into its kind and the rest; the kind is empty if none is given.

    >>> split_prompt("<image>\n[vqa] How many ships are there?")
    ('vqa', 'How many ships are there?')
    """
    match = _PROMPT.fullmatch(value)
    return (match[1].lower(), match[2]) if match else ("", value)


def referred_text(prompt: str) -> str:
    """Return the expression of a `[refer]` prompt: what is between `<p>` and `</p>`, if anything.

    >>> referred_text("could you tell me the location for <p>The bridge.</p>?")
    'The bridge.'
    """
    match = _REFERRED.search(prompt)
    return match[1] if match else ""


def unwrap_question(prompt: str) -> str:
    """Return the bare question of a `[vqa]` prompt; a prompt that is not wrapped comes back as is.

    >>> unwrap_question("Question: How many ships are visible? Short answer:")
    'How many ships are visible?'
    >>> unwrap_question("What is the answer to the following question Is it a dam?")
    'Is it a dam?'
    """
    text = prompt.strip()
    for before, after in QUESTION_WRAPPERS:
        if text.startswith(before) and text.endswith(after):
            inner = text.removeprefix(before).removesuffix(after).strip()
            if inner:
                text = inner
                break
    # A template ends in a full stop; put around a question it leaves "?.".
    return text.removesuffix(".") if text.endswith("?.") else text
