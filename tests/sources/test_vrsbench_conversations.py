"""The training conversations: prompts, their wrapping, expressions."""

import json

import pytest

from vrs_wds.errors import SourceError
from vrs_wds.sources.vrsbench.conversations import (
    QUESTION_WRAPPERS,
    read_conversations,
    referred_text,
    split_prompt,
    unwrap_question,
)

QUESTION = "How many vehicles are visible in the image?"

PROMPTS = [
    "{}",
    "{}.",
    "Question: {} Short answer:",
    "Question: {}",
    "Q: {} A:",
    "{} A short answer to the question is",
    "Given the image, answer the following question with no more than three words. {}",
    "Based on the image, respond to this question with a short answer: {}",
    "Based on the image, respond to this question with a short answer: {}.",
    "Based on the image, respond to this question with a short answer: {}. Answer:",
    "Use the provided image to answer the question: {} Provide your answer as short as possible.",
    "What is the answer to the following question {}",
    'What is the answer to the following question? "{}"',
    'What is the answer to the following question "{}"',
    "The question {} can be answered using the image. A short answer is",
    'The question "{}" can be answered using the image. A short answer is',
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_paraphrase_gives_the_bare_question(prompt):
    """However a question is wrapped, the question comes back."""
    assert unwrap_question(prompt.format(QUESTION)) == QUESTION


@pytest.mark.parametrize("wrapper", QUESTION_WRAPPERS)
def test_every_wrapper_that_is_listed_is_taken_off(wrapper):
    """The table and the function agree, also for the synthetic data that uses the table."""
    assert unwrap_question(wrapper[0] + QUESTION + wrapper[1]) == QUESTION


@pytest.mark.parametrize(
    "question",
    [
        "What is the answer?",
        "The question mark is painted in which color?",
        "Is there a sign that says Q: A:?",
        "Question: ",
        "Describe the image.",
        "",
    ],
)
def test_a_question_that_only_looks_wrapped_stays(question):
    """Nothing is cut off that is not a wrapper around a question."""
    assert unwrap_question(question) == question.strip()


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("<image>\n[vqa] Is it?", ("vqa", "Is it?")),
        ("[refer] where is <p>it</p>?", ("refer", "where is <p>it</p>?")),
        ("<image>\n[Caption] Describe\nit.", ("caption", "Describe\nit.")),
        ("What is it?", ("", "What is it?")),
    ],
)
def test_a_prompt_begins_with_its_kind(value, parts):
    """The kind is in brackets, with or without the mark of the image before it."""
    assert split_prompt(value) == parts


def test_the_expression_stands_between_its_marks():
    """Six real records have nothing there; others may have no marks at all."""
    assert referred_text("the location for <p>The \u2014 bridge.</p>?") == "The \u2014 bridge."
    assert referred_text("the location for <p></p>?") == ""
    assert referred_text("the location?") == ""


def write(path, value):
    """Write a JSON file."""
    path.write_text(json.dumps(value))
    return path


def test_each_question_is_paired_with_the_answer_after_it(tmp_path):
    """A conversation of several turns gives several exchanges."""
    said = [("human", "<image>\n[vqa] A?"), ("gpt", "a"), ("human", "[vqa] B?"), ("gpt", "b")]
    turns = [{"from": who, "value": what} for who, what in said]
    path = write(tmp_path / "t.json", [{"id": "x", "image": "a.png", "conversations": turns}])
    (record,) = read_conversations(path)
    assert record.exchanges() == [("vqa", "A?", "a"), ("vqa", "B?", "b")]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, "Expected `array`, got `object`"),
        ([{"image": 3, "conversations": []}], r"\[0\]\.image: Expected `str`, got `int`"),
        ([{"image": "a.png"}], "missing required field `conversations`"),
    ],
)
def test_a_file_of_another_shape_is_named(tmp_path, value, field):
    """The message names the file and the field."""
    path = write(tmp_path / "train.json", value)
    with pytest.raises(SourceError, match=rf"train\.json: .*{field}"):
        read_conversations(path)
