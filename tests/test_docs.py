"""The pages say what is so: code runs, links lead somewhere, lists are complete."""

import doctest
import io
import json
import re
import shlex
import signal
import sys
import tempfile
import textwrap
import types
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import yaml

import vrs_wds as vw
from vrs_wds import errors
from vrs_wds.cli.main import app, main
from vrs_wds.config import parse_config
from vrs_wds.sample import key_to_name, name_to_key
from vrs_wds.shard import manifest
from vrs_wds.shard.index_table import make_schema
from vrs_wds.shard.tar_header import make_header
from vrs_wds.tasks import registry
from vrs_wds.tasks.captioning import Captioning
from vrs_wds.tasks.classification import Classification
from vrs_wds.tasks.detection import DetectedObject, Detection
from vrs_wds.tasks.grounding import Expression, Grounding
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.vqa import VQA, QAPair

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
REFERENCE = ROOT / "docs" / "reference"

LANGUAGES = {"python", "bash", "text", "json", "yaml", ""}
"""Of fenced blocks: `python` and `bash` are run, `json` and `yaml` are parsed."""

EXCUSED = {
    "pip install -e . && vrs-wds demo": "installs into the environment that the tests run in",
    "pip install -e '.[test]' && pytest": "would run these tests again",
    "pip install -e '.[test]'": "installs into the environment that the tests run in",
    "ruff format . && ruff check . && mypy && lint-imports": "looks at the code, not at its use",
    "pytest": "would run these tests again",
}
"""Lines of `bash` blocks that are not run, and why. There is no such list for `python`."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    """Number of its first line of text in the page, from 1."""
    follows: bool
    """Whether nothing but blank lines stands between it and the block before."""


def read_blocks(page):
    """Return the fenced blocks of a page, in order."""
    blocks, body, opened, gap = [], [], None, True
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if opened is None and line.startswith("```"):
            opened, body = (line[3:].strip(), number + 1), []
        elif opened is not None and line.rstrip() == "```":
            text = "".join(f"{row}\n" for row in body)
            blocks.append(Block(opened[0], text, opened[1], follows=not gap))
            opened, gap = None, False
        elif opened is not None:
            body.append(line)
        elif line.strip():
            gap = True
    assert opened is None, f"{page.name}:{opened[1]}: the block is not closed"
    return blocks


def name_of(page):
    """Return a page's path in the project, for the names of tests and messages."""
    return page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


class Runner:
    """Runs the blocks of one page, one after another, in one namespace; keeps what they print."""

    def __init__(self, page, namespace):
        self.page = page
        self.namespace = namespace
        self.printed = ""

    def run(self, block):
        """Run a block, or compare what the one before has printed."""
        if block.language == "python":
            self.printed = printed_by(lambda: self._run_python(block))
        elif block.language == "bash":
            self.printed = printed_by(lambda: self._run_bash(block))
        elif block.language == "text" and block.follows:
            self._compare(block)

    def _run_python(self, block):
        # Blank lines before it, so that a traceback points at the line in the page.
        source = "\n" * (block.line - 1) + block.text
        exec(compile(source, str(self.page), "exec"), self.namespace)

    def _run_bash(self, block):
        for number, line in enumerate(block.text.splitlines(), start=block.line):
            words = shlex.split(line, comments=True)
            if not words or line in EXCUSED:
                continue
            place = f"{name_of(self.page)}:{number}"
            assert words[0] == "vrs-wds", f"{place}: neither run nor excused: {line}"
            with pytest.raises(SystemExit) as ended:
                main(words[1:])
            # The command leaves this to the end of its process.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            assert ended.value.code == 0, f"{place}: exit code {ended.value.code}: {line}"

    def _compare(self, block):
        example = doctest.Example("", block.text)
        checker = doctest.OutputChecker()
        assert checker.check_output(block.text, self.printed, doctest.ELLIPSIS), (
            f"{name_of(self.page)}:{block.line}: printed is\n"
            + checker.output_difference(example, self.printed, doctest.REPORT_NDIFF)
        )


def printed_by(action):
    """Return what an action prints."""
    before, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    try:
        action()
        sys.stdout.flush()
        return sys.stdout.buffer.getvalue().decode()
    finally:
        sys.stdout = before


@pytest.fixture
def namespace(tmp_path, monkeypatch):
    """Return the names of a new main module; folders made and tasks registered go away again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(registry, "_TASKS", dict(registry._TASKS))
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    return vars(module)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(b.language in ("python", "bash") for b in read_blocks(page))],
    ids=name_of,
)
def test_code_runs_and_prints_what_the_page_shows(page, namespace):
    """Every `python` and `bash` block runs; a `text` block after one is what it prints."""
    runner = Runner(page, namespace)
    for block in read_blocks(page):
        runner.run(block)


@every_page
def test_every_block_is_of_a_known_kind(page):
    """So that no code escapes being run by an odd name such as `python no-run` or `py`."""
    for block in read_blocks(page):
        place = f"{name_of(page)}:{block.line}"
        assert block.language in LANGUAGES, f"{place}: block of kind {block.language!r}"
        if block.language == "json":
            json.loads(block.text)
        if block.language == "yaml":
            parse_config(yaml.safe_load(block.text), where=place)


def test_a_block_that_fails_says_where(tmp_path, namespace):
    """The runner points at the line in the page."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nprint(1)\nboom = 1 / 0\n```\n", encoding="utf-8")
    (block,) = read_blocks(page)

    with pytest.raises(ZeroDivisionError) as caught:
        Runner(page, namespace).run(block)
    assert (caught.traceback[-1].path, caught.traceback[-1].lineno + 1) == (page, 5)


def test_output_that_differs_fails(tmp_path, namespace):
    """The runner compares what is printed with what is shown."""
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n\n```text\n2\n```\n", encoding="utf-8")
    runner = Runner(page, namespace)

    with pytest.raises(AssertionError, match=r"page\.md:6: printed is"):
        for block in read_blocks(page):
            runner.run(block)


LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def slug(heading):
    """Return a heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def without_blocks(page):
    """Return a page's text without fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.mark.parametrize("command", ["vrs-wds info nowhere", "make all"])
def test_a_command_that_fails_or_is_unknown_fails(command, tmp_path, namespace, capsys):
    """The runner takes exit codes, and runs `vrs-wds` only."""
    page = tmp_path / "page.md"
    page.write_text(f"```bash\n{command}\n```\n", encoding="utf-8")
    (block,) = read_blocks(page)

    with pytest.raises(AssertionError, match=r"^page\.md:2: "):
        Runner(page, namespace).run(block)


@every_page
def test_links_lead_somewhere(page):
    """Relative links lead to files of the project, and anchors to headings."""
    for link in LINK.findall(without_blocks(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)}: the link {link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{name_of(page)}: the link {link} leads outside"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", without_blocks(target), flags=re.M)
            assert anchor in map(slug, headings), f"{name_of(page)}: no heading for {link}"


def test_every_page_is_linked_from_another():
    """Nobody finds a page that nothing leads to."""
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in LINK.findall(without_blocks(page))
    }
    assert [name_of(page) for page in PAGES[1:] if page not in linked] == []


def test_readme_has_the_two_commands():
    """The commands that install and try the package, as they are typed."""
    blocks = [block.text for block in read_blocks(ROOT / "README.md") if block.language == "bash"]
    assert "pip install -e . && vrs-wds demo\n" in blocks
    assert "pip install -e '.[test]' && pytest\n" in blocks


def sections(page):
    """Return a page's text by heading, without fenced blocks."""
    parts = re.split(r"^#+ (.*)$", without_blocks(page), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_cells(text):
    """Return the words in backticks in the first cells of a text's tables, in order."""
    rows = re.findall(r"^\| (`.*?) \|", text, flags=re.M)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_every_public_name_has_an_entry():
    """`api.md` lists the public names, each once, and nothing else."""
    entries = first_cells((REFERENCE / "api.md").read_text(encoding="utf-8"))
    assert sorted(entries) == sorted(vw.__all__)


def commands():
    """Return the names of the commands."""
    return [name for name in app if not name.startswith("-")]


def test_every_command_has_an_entry():
    """`cli.md` has a section for each command, in the order of `--help`."""
    headings = sections(REFERENCE / "cli.md")
    assert [name for name in headings if name.startswith("`vrs-wds ")] == [
        f"`vrs-wds {name}`" for name in commands()
    ]


@pytest.mark.parametrize("command", commands())
def test_every_option_has_an_entry(command):
    """A command's section lists its options, in order, and nothing else."""
    entries = first_cells(sections(REFERENCE / "cli.md")[f"`vrs-wds {command}`"])
    options = [name for a in app[command].assemble_argument_collection() for name in a.names]
    assert [name for name in entries if name.startswith("-")] == options


def test_every_error_has_an_entry():
    """`errors.md` says of each error who raises it and what to do."""
    entries = first_cells((REFERENCE / "errors.md").read_text(encoding="utf-8"))
    kinds = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.VrsWdsError)
    ]
    assert sorted(entries) == sorted(kinds)


def test_the_tree_of_errors_is_that_of_the_code():
    """The drawing in `errors.md` is that of `vrs_wds.errors`."""
    tree = textwrap.dedent(errors.__doc__.partition("::")[2].partition("A bad")[0])
    assert read_blocks(REFERENCE / "errors.md")[0].text.strip() == tree.strip()


FORMAT = REFERENCE / "format.md"
STRUCTS = {
    "`captioning.json`": Captioning,
    "`classification.json`": Classification,
    "`detection.json`": Detection,
    "An object": DetectedObject,
    "`grounding.json`": Grounding,
    "An expression": Expression,
    "`vqa.json`": VQA,
    "A question": QAPair,
    "`meta.json`": Meta,
    "The manifest": manifest.Manifest,
    "A shard in `shardlist`": manifest.ShardInfo,
    "The key `vrs_wds`": manifest.Details,
    "The index file": manifest.FileInfo,
    "A task in `tasks`": manifest.TaskInfo,
    "A layer": manifest.Layer,
}
"""Headings of the format's page, and what their tables describe."""


@pytest.mark.parametrize(("heading", "struct"), STRUCTS.items(), ids=STRUCTS)
def test_the_format_lists_the_fields_in_order(heading, struct):
    """The order of a table is the order in the JSON."""
    fields = [field.encode_name for field in msgspec.structs.fields(struct)]
    assert first_cells(sections(FORMAT)[heading]) == fields


@pytest.mark.parametrize(("heading", "struct"), STRUCTS.items(), ids=STRUCTS)
def test_the_format_says_which_fields_may_be_missing(heading, struct):
    """A field may be missing where the code has a default."""
    rows = re.findall(r"^\| `(.*?)` \| (.*?) \|", sections(FORMAT)[heading], flags=re.M)
    optional = {name for name, kind in rows if "may be missing" in kind}
    assert optional == {
        field.encode_name for field in msgspec.structs.fields(struct) if not field.required
    }


@pytest.mark.parametrize("task", registry.registered_tasks(), ids=lambda task: task.name)
def test_the_formats_examples_fit_the_schemas(task):
    """Each example decodes, and encodes to what it shows: no field is left out."""
    examples = [json.loads(b.text) for b in read_blocks(FORMAT) if b.language == "json"]
    (field,) = task.schema.__struct_fields__[:1]
    (example,) = [example for example in examples if field in example]

    sidecar = msgspec.convert(example, task.schema)

    task.check(sidecar)
    assert json.loads(msgspec.json.encode(sidecar)) == example


def test_the_format_lists_the_index_columns():
    """The columns' table is the schema of the index, in order."""
    shown = first_cells(sections(FORMAT)["Columns"])
    names = [task.name for task in registry.registered_tasks()]
    columns = [name.replace("EXT", "vqa.json") for name in shown if not name.startswith("TASK")]
    counts = [name.replace("TASK", task) for name in shown if "TASK" in name for task in names]
    facts = [name for name in columns if ":" not in name][7:]
    assert columns[:7] + counts + facts == [
        name for name in make_schema([], names).names if ":" not in name
    ]
    assert [name for name in columns if ":" in name] == make_schema(["vqa.json"], []).names[7:]


def test_the_formats_keys():
    """Every example in the table of keys is what the code makes of the name, and undoes."""
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", sections(FORMAT)["Keys"], flags=re.M)
    assert len(rows) >= 8
    for name, key in rows:
        assert (name_to_key(name), key_to_name(key)) == (key, name)


def test_the_formats_header():
    """The table's fields lie where it says, and add up to the block that is written."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \| (\d+) \| (.*?) \|", sections(FORMAT)["Headers"], flags=re.M
    )
    block = make_header("P0003_0002.vqa.json", 1532)
    known = {
        "name": b"P0003_0002.vqa.json",
        "size": b"%011o\x00" % 1532,
        "chksum": b"%06o\x00 " % (sum(block) - sum(block[148:156]) + 8 * 32),
    }
    position = 0
    for name, offset, size, text in rows:
        assert int(offset) == position
        value = known.get(name)
        if value is None:
            quoted = re.match(r'"(.*?)"', text)
            value = quoted[1].replace("\\0", "\0").encode() if quoted else b""
        assert block[position : position + int(size)] == value.ljust(int(size), b"\x00"), name
        position += int(size)
    assert position == 512
