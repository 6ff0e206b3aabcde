"""The readers under attack: whatever is in a file, it is read right or refused by one error with file and line."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.generated.writers import WRITERS
from hyperloader.corpora.readers import READERS
from hyperloader.corpora.readers.columns import read_conll
from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import CorpusError

CORPUS = {"bio": "movie", "slot-gated": "atis", "mtop": "mtop", "mtod": "mtod"}  # one for each raw format
ALL = READERS | {"conll": read_conll}
PARTS = ("seq.in", "seq.out", "label")
LINES = 24
MANY = [200, pytest.param(10_000, marks=pytest.mark.slow)]

SPECIAL = [
    b"", b"\t", b"\n", b"\n\n", b"\r", b"\r\n", b" ", b"  ", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xc2\xa0", b"\xc2\x85",
    b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"O", b"B-", b"I-", b"B-x", b"I-x", b"B-O", b"NoLabel", b"SL:", b":", b",",
    b"#", b"# text:", b'"', b"\\", b"\\ud800", b"\\u0000", b"{", b"}", b"[", b"]", b"null", b"true", b"NaN", b"-1", b"0", b"1", b"2",
    b"1e9", b"9" * 9, b"9" * 5000, b"[" * 5000, "é".encode(), "٣".encode(), "²".encode(), "𝒳".encode(), "\u200b".encode(),
]  # fmt: skip
FRAGMENTS = [*SPECIAL, b"a", b"O\t", b"a B-x\n", b"1\ta\ti\tNoLabel\n"]


def at(data, place):
    return place * len(data) // 10_000


def replaced(data, place, width, new):
    start = at(data, place)
    return data[:start] + new + data[start + width :]


def lines_changed(data, place, width, new):
    lines = data.split(b"\n")
    start = at(lines, place)
    if new in (b"\n", b"\n\n", b"\r\n"):
        lines[start:start] = lines[start : start + width]  # twice
    else:
        lines[start : start + width] = reversed(lines[start : start + 2 * width])  # swapped, or with fewer left at the end, more
    return b"\n".join(lines)


def column_changed(separator):
    def changed(data, place, width, new):
        lines = data.split(b"\n")
        columns = lines[at(lines, place)].split(separator)
        columns[width % len(columns)] = new
        lines[at(lines, place)] = separator.join(columns)
        return b"\n".join(lines)

    return changed


def digit_changed(data, place, width, new):
    digits = [index for index, byte in enumerate(data) if 48 <= byte <= 57]
    index = digits[at(digits, place)] if digits else 0
    return data[:index] + (new if width == 7 else str(width).encode()) + data[index + 1 :]


DAMAGES = (replaced, lines_changed, column_changed(b"\t"), column_changed(b" "), column_changed(b","), digit_changed)
DAMAGE = st.tuples(
    st.sampled_from(DAMAGES), st.integers(0, 9_999), st.integers(0, 7), st.one_of(st.sampled_from(SPECIAL), st.binary(max_size=4))
)


@pytest.fixture(params=CORPUS)
def raw_format(request):
    return request.param


@pytest.fixture(params=["generated", "real"])
def excerpt(request, raw_format, tmp_path):
    """The first lines of each file of a test split."""
    name = CORPUS[raw_format]
    if request.param == "real":
        folder = request.getfixturevalue("mirror") / "corpora"
    else:
        folder = tmp_path / "raw"
        generate(name, folder)
    split = folder / known_corpora()[name].splits["test"]
    paths = [split / part for part in PARTS] if split.is_dir() else [split]
    return [b"".join(path.read_bytes().splitlines(keepends=True)[:LINES]) for path in paths]


def put(folder, files):
    path = folder / "split"
    if len(files) == 1:
        path.write_bytes(files[0])
    else:
        path.mkdir(exist_ok=True)
        for part, data in zip(PARTS, files, strict=True):
            (path / part).write_bytes(data)
    return path


def read(raw_format, folder, files):
    """The sentences, or None for a file that was refused as it should be."""
    path = put(folder, files)
    try:
        sentences = ALL[raw_format](path)
    except CorpusError as error:
        assert error.file in (path, *(path / part for part in PARTS))
        assert error.line is None or 1 <= error.line <= 1 + max(data.count(b"\n") + 1 for data in files)
        assert "expected" in str(error) or "not valid UTF-8" in str(error)
        assert "\n" not in str(error) and len(str(error)) < 1000
        return None
    # what was read can be written in the plainest of the formats, and reads the same from there
    assert sentences
    plain = folder / "plain"
    plain.write_bytes(WRITERS["bio"](sentences, np.random.RandomState(0))[""].encode())
    assert READERS["bio"](plain) == sentences
    return sentences


def attacks(examples):
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("examples", MANY)
def test_damaged_files(tmp_path, raw_format, excerpt, examples):
    assert read(raw_format, tmp_path, excerpt)

    @attacks(examples)
    @given(st.lists(st.tuples(st.integers(0, len(excerpt) - 1), DAMAGE), min_size=1, max_size=4), st.integers(0, 99))
    def attack(damages, cut):
        files = list(excerpt)
        for part, (damage, *arguments) in damages:
            files[part] = damage(files[part], *arguments)
        if cut < 10:
            files[damages[0][0]] = files[damages[0][0]][: len(files[damages[0][0]]) * cut // 10]
        read(raw_format, tmp_path, files)

    attack()


@pytest.mark.parametrize("examples", MANY)
@pytest.mark.parametrize("raw_format", ALL)
def test_files_of_anything(tmp_path, raw_format, examples):
    piece = st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=3))
    parts = len(PARTS) if raw_format == "slot-gated" else 1

    @attacks(examples)
    @given(st.lists(st.lists(piece, max_size=30).map(b"".join), min_size=parts, max_size=parts))
    def attack(files):
        read(raw_format, tmp_path, files)

    attack()


@pytest.mark.parametrize("raw_format", ["slot-gated", "mtop"])
@pytest.mark.parametrize("examples", MANY)
def test_a_damaged_line_changes_its_own_sentence_alone(tmp_path, raw_format, excerpt, examples):
    intact = read(raw_format, tmp_path, excerpt)

    @attacks(examples)
    @given(st.integers(0, len(excerpt) - 1), st.integers(0, LINES - 1), st.lists(DAMAGE, min_size=1, max_size=3))
    def attack(part, number, damages):
        lines = excerpt[part].split(b"\n")
        for damage, *arguments in damages:
            lines[number] = damage(lines[number], *arguments).replace(b"\n", b"")
        sentences = read(raw_format, tmp_path, [*excerpt[:part], b"\n".join(lines), *excerpt[part + 1 :]])
        if sentences:
            assert sentences[:number] == intact[:number] and sentences[number + 1 :] == intact[number + 1 :]

    attack()


TOKEN_COLUMN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 9), st.floats(), st.text(max_size=3), st.sampled_from(["a", "b"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["tokens", "tokenSpans", "start", "length"]), inner, max_size=4)
    ),
    max_leaves=12,
)
SPAN = st.fixed_dictionaries({"start": st.one_of(TOKEN_COLUMN, st.integers(0, 3)), "length": st.one_of(TOKEN_COLUMN, st.integers(0, 2))})


@pytest.mark.parametrize("examples", MANY)
def test_mtop_with_other_json(tmp_path, examples):
    whole = st.fixed_dictionaries({"tokens": TOKEN_COLUMN | st.lists(TOKEN_COLUMN, max_size=2), "tokenSpans": st.lists(SPAN, max_size=2)})
    slots = st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4), st.sampled_from(["SL:x", "SL:", "x"])), max_size=2)

    @attacks(examples)
    @given(st.one_of(TOKEN_COLUMN, whole), slots)
    def attack(column, slots):
        slots = ",".join(f"{start}:{end}:{name}" for start, end, name in slots)
        row = ["id", "IN:X", slots, "a b", "domain", "en_XX", "[IN:X ]", json.dumps(column)]
        read("mtop", tmp_path, ["\t".join(row).encode()])

    attack()


# --- one line of ten million bytes -----------------------------------------------------------------------------------

LONG = 10_000_000
LONG_LINES = {
    "letters": b"a",
    "blanks": b" ",
    "words": b"a ",
    "tabs": b"\t",
    "commas": b",",
    "tags": b"B-x ",
    "brackets": b"[",
    "slots": b"0:1:SL:x,",
}


@pytest.mark.parametrize(
    "piece", [pytest.param(piece, id=name, marks=pytest.mark.slow if name == "tags" else ()) for name, piece in LONG_LINES.items()]
)
def test_a_line_of_ten_million_bytes(tmp_path, raw_format, piece):
    line = piece * (LONG // len(piece))
    whole = b"\t".join([b"id", b"IN:X", line, line, b"d", b"en_XX", b"t", b'{"tokens":["' + line + b'"],"tokenSpans":[]}'])
    for data in (line, whole) if raw_format == "mtop" else (line, b"O\t" + line, b"1\t" + line + b"\ti\tNoLabel"):
        read(raw_format, tmp_path, [data] * (3 if raw_format == "slot-gated" else 1))


def test_a_true_sentence_of_ten_million_bytes(tmp_path):
    word, words = "a" * 99_999, 100
    spans = [{"start": 100_000 * index, "length": 99_999} for index in range(words)]
    slots = ",".join(f"{span['start']}:{span['start'] + 99_999}:SL:x" for span in spans)
    row = ["id", "IN:X", slots, " ".join([word] * words), "d", "en_XX", "t", json.dumps({"tokens": [word] * words, "tokenSpans": spans})]
    (sentence,) = read("mtop", tmp_path, ["\t".join(row).encode()])
    assert sentence.words == (word,) * words and set(sentence.tags) == {"B-x"}
