"""The four raw formats: what the published files hold, and what damage gets."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperloader.corpora.generated.writers import WRITERS
from hyperloader.corpora.readers import READERS
from hyperloader.corpora.readers.checks import check_tag
from hyperloader.corpora.readers.mtop import nested_slots
from hyperloader.errors import CorpusError
from hyperloader.text.sentences import Sentence

IN_TMP_PATH = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def put(folder, raw_format, content):
    """Write one split; `content` is the file, or for slot-gated a triple."""
    path = folder / "split"
    if raw_format == "slot-gated":
        path.mkdir(exist_ok=True)
        for name, part in zip(("seq.in", "seq.out", "label"), content, strict=True):
            (path / name).write_bytes(part if isinstance(part, bytes) else part.encode())
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def mtop(utterance="hi", slots="", tokens=None, spans=None):
    tokens = utterance.split() if tokens is None else tokens
    if spans is None:
        spans, at = [], 0
        for token in tokens:
            start = utterance.encode().index(token.encode(), at)
            at = start + len(token.encode())
            spans.append({"start": start, "length": at - start})
    words = json.dumps({"tokens": tokens, "tokenSpans": spans}, ensure_ascii=False).replace("/", "\\/")
    return "\t".join(["id", "IN:X", slots, utterance, "domain", "en_XX", "[IN:X ]", words])


def mtod(*rows, slots=""):
    return "\n".join(["# text: A b ", "# intent: x", f"# slots: {slots}", *rows]) + "\n\n"


# --- what the published files hold -----------------------------------------------------------------------------------


def test_slot_gated_runs_of_blanks(tmp_path):
    path = put(tmp_path, "slot-gated", (" play  a   song \nhi\n", "O B-x I-x \nO\n", "a\na#b\n"))
    assert READERS["slot-gated"](path) == [Sentence(("play", "a", "song"), ("O", "B-x", "I-x")), Sentence(("hi",), ("O",))]


def test_bio_tag_first_and_last_blank_line_missing(tmp_path):
    expected = [Sentence(("a", "b"), ("B-ACTOR", "I-ACTOR")), Sentence(("c",), ("O",))]
    for end in ("\n\n", "\n", ""):
        assert READERS["bio"](put(tmp_path, "bio", f"B-ACTOR\ta\nI-ACTOR\tb\n\nO\tc{end}")) == expected


def test_mtop_byte_offsets_and_edges_inside_whitespace_words(tmp_path):
    tokens = ["Héllo", "Zoë", "’s", "5", "pm", "?"]
    line = mtop("Héllo  Zoë’s 5pm?", "8:12:SL:CONTACT,17:20:SL:DATE_TIME", tokens)
    assert READERS["mtop"](put(tmp_path, "mtop", line)) == [
        Sentence(tuple(tokens), ("O", "B-CONTACT", "O", "B-DATE_TIME", "I-DATE_TIME", "O"))
    ]


def test_nested_slots_of_mtop_are_counted(tmp_path):
    tree = "[IN:A [SL:X [IN:B [SL:Y new ] ] york ] [SL:Z today ] ]"
    lines = [mtop("new york today", "0:8:SL:X,9:14:SL:Z"), mtop("hello")]
    columns = lines[0].split("\t")
    lines[0] = "\t".join([*columns[:6], tree, columns[7]])
    path = put(tmp_path, "mtop", "\n".join(lines))
    assert nested_slots(path) == 1 and READERS["mtop"](path)[0].tags == ("B-X", "I-X", "B-Z")


def test_mtop_quotes_slashes_and_colons_in_names(tmp_path):
    line = mtop('say "a/b"', "4:9:SL:A:B")
    assert READERS["mtop"](put(tmp_path, "mtop", line)) == [Sentence(("say", '"a/b"'), ("O", "B-A:B"))]


def test_mtod_no_label_hash_token_and_orphan_i(tmp_path):
    text = mtod("1\t#\tx\tNoLabel", "2\tb\tx\tI-datetime") + mtod("1\ta\tx\tB-weather/noun", slots="0:1:weather/noun")
    assert READERS["mtod"](put(tmp_path, "mtod", text)) == [
        Sentence(("#", "b"), ("O", "I-datetime")),
        Sentence(("a",), ("B-weather/noun",)),
    ]


VALID = {
    "slot-gated": ("a b\nc\n", "O B-x\nO\n", "i\ni\n"),
    "bio": "O\ta\nB-x\tb\n\nO\tc\n\n",
    "conll": "a\tO\nb\tB-x\n\nc\tO\n\n",
    "mtop": "\n".join([mtop("a b", "2:3:SL:x"), mtop("c")]),
    "mtod": mtod("1\ta\ti\tNoLabel", "2\tb\ti\tB-x") + mtod("1\tc\ti\tNoLabel"),
}


@pytest.mark.parametrize("raw_format", READERS)
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_byte_order_mark_make_no_difference(tmp_path, raw_format, start, end):
    content = VALID[raw_format]
    content = (
        tuple(start + part.replace("\n", end) for part in content) if isinstance(content, tuple) else start + content.replace("\n", end)
    )
    assert READERS[raw_format](put(tmp_path, raw_format, content)) == [Sentence(("a", "b"), ("O", "B-x")), Sentence(("c",), ("O",))]


# --- damage ----------------------------------------------------------------------------------------------------------

DAMAGED = [
    ("slot-gated", ("a b\n", "O\n", "i\n"), 1, "1 tags, expected 2"),
    ("slot-gated", ("a\nb\n", "O\nO O\n", "i\ni\n"), 2, "2 tags, expected 1"),
    ("slot-gated", ("a\nb\nc\n", "O\nO\n", "i\ni\ni\n"), 3, "2 lines, expected 3"),
    ("slot-gated", ("a\nb\n", "O\nO\n", "i\n"), 2, "1 lines, expected 2"),
    ("slot-gated", ("a\n \n", "O\n\n", "i\ni\n"), 2, "no words"),
    ("slot-gated", ("a\n", "X-y\n", "i\n"), 1, "tag 'X-y', expected O, B-type or I-type"),
    ("bio", "O\ta\nB-x b\n", 2, "1 columns, expected 2"),
    ("bio", "O\ta\nB-x\tb\tc\n", 2, "3 columns, expected 2"),
    ("bio", "a\tO\n", 1, "tag 'a'"),
    ("bio", "O\ta\nB-\tb\n", 2, "tag 'B-'"),
    ("bio", "B-I\tb\n", 1, "tag 'B-I'"),
    ("bio", "B-a b\tc\n", 1, "without blanks"),
    ("bio", "O\tsan jose\n", 1, "token 'san jose'"),
    ("bio", "O\t\n", 1, "token ''"),
    ("bio", "O\ta\nB-AC", 2, "1 columns"),
    ("mtop", "only\tthree\tcolumns", 1, "3 columns, expected 8"),
    ("mtop", mtop() + "\n" + mtop()[:-20], 2, "expected JSON"),
    ("mtop", mtop() + "\n\n" + mtop(), 2, "1 columns, expected 8"),
    ("mtop", mtop("a b", "0:1:x"), 1, "expected start:end:SL:NAME"),
    ("mtop", mtop("a b", "0:one:SL:x"), 1, "expected start:end:SL:NAME"),
    ("mtop", mtop("ab c", "0:1:SL:x"), 1, "edges of words"),
    ("mtop", mtop("é b", "2:3:SL:x"), 1, "edges of words"),  # characters instead of bytes
    ("mtop", mtop("a b", "2:1:SL:x"), 1, "edges of words"),
    ("mtop", mtop("a b", "0:9:SL:x"), 1, "edges of words"),
    ("mtop", mtop("a b c", "0:3:SL:x,2:5:SL:y"), 1, "overlaps"),
    ("mtop", mtop("a b", "2:3:SL:x,0:1:SL:y"), 1, "sentence order"),
    ("mtop", mtop("a b", "0:1:SL:x y"), 1, "without blanks"),
    ("mtop", mtop("a b", spans=[{"start": 0, "length": 1}]), 1, "expected JSON"),
    ("mtop", mtop("a", spans=[{"start": "0", "length": 1}]), 1, "expected JSON"),
    ("mtop", mtop("a", spans=[{"start": 0}]), 1, "expected JSON"),
    ("mtop", mtop("a", tokens=[1], spans=[{"start": 0, "length": 1}]), 1, "expected JSON"),
    ("mtop", mtop("a b", spans=[{"start": 0, "length": 1}, {"start": 3, "length": 1}]), 1, "does not fit the utterance"),
    ("mtop", mtop("a", spans=[{"start": -1, "length": 1}]), 1, "does not fit the utterance"),
    ("mtop", mtop("a b", tokens=["zz", 5], spans=[{"start": 0, "length": 2}, {"start": 2, "length": 1}]), 1, "expected JSON"),
    ("mtop", mtop("a", tokens="a", spans=[{"start": 0, "length": 1}]), 1, "expected JSON"),
    ("mtop", mtop("ab", spans=[{"start": False, "length": 2}]), 1, "expected JSON"),
    ("mtop", mtop("a", tokens=[], spans=[]), 1, "does not fit the utterance"),
    ("mtop", mtop().rpartition("\t")[0] + "\t" + "[" * 100_000, 1, "expected JSON"),
    ("mtop", mtop().rpartition("\t")[0] + '\t{"tokens":["\\ud800"],"tokenSpans":[{"start":0,"length":1}]}', 1, "expected JSON"),
    ("mtod", mtod("1\ta\ti"), 4, "3 columns, expected 4"),
    ("mtod", mtod("1\ta\ti\tO"), 4, "expected NoLabel"),
    ("mtod", mtod("1\ta\ti\tnolabel"), 4, "tag 'nolabel'"),
    ("mtod", mtod("1\ta\ti\tNoLabel", "3\tb\ti\tNoLabel"), 5, "word number '3', expected 2"),
    ("mtod", mtod("1\ta\ti\tNoLabel").rstrip("\n") + "\n" + mtod("1\ta\ti\tNoLabel"), 5, "expected a blank line"),
    ("mtod", mtod("1\ta\ti\tNoLabel") + "# text: b\n# intent: i\n", 8, "sentence without words"),
]  # fmt: skip


@pytest.mark.parametrize(("raw_format", "content", "line", "expected"), DAMAGED)
def test_damage_is_one_error_with_file_line_and_expectation(tmp_path, raw_format, content, line, expected):
    path = put(tmp_path, raw_format, content)
    with pytest.raises(CorpusError) as caught:
        READERS[raw_format](path)
    assert expected in str(caught.value)
    assert caught.value.line == line
    assert str(caught.value.file).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raw_format", READERS)
@pytest.mark.parametrize(
    ("content", "line", "expected"),
    [
        (b"", None, "empty"),
        (b" \r\n\n", None, "empty"),
        (b"first\nsec\xffond\n", 2, "not valid UTF-8"),
        (b"\xef\xbb\xbf", None, "empty"),
        (b"\xef\xbb\xbf12\n\xff", 2, "not valid UTF-8"),
        (b"first\nsecond\n\0", 3, "NUL"),
        (b"first\r\nsec\rond\r\n", 2, "CR within a line"),
        (b"first\r\r\nsecond\r\r\n", 1, "CR within a line"),
    ],
)
def test_damage_that_every_format_can_have(tmp_path, raw_format, content, line, expected):
    path = put(tmp_path, raw_format, (content,) * 3 if raw_format == "slot-gated" else content)
    with pytest.raises(CorpusError, match=expected) as caught:
        READERS[raw_format](path)
    assert caught.value.line == line


@pytest.mark.parametrize("raw_format", READERS)
def test_missing_files(tmp_path, raw_format):
    with pytest.raises(CorpusError, match="no such file"):
        READERS[raw_format](tmp_path / "nothing")


@pytest.mark.parametrize(
    ("tag", "problem"),
    [
        ("B-a,B-b", "are several tags"),
        ("B-a|I-b", "are several tags"),
        ("B-a;O", "are several tags"),
        ("O|B-a", "are several tags"),
        ("I-a+B-b+B-c", "are several tags"),
        ("B-weather/noun/B-b", "are several tags"),
        ("S-a", "of the scheme BIOES, expected BIO"),
        ("E-a", "of the scheme BIOES, expected BIO"),
        ("U-a", "of the scheme BILOU, expected BIO"),
        ("L-a", "of the scheme BILOU, expected BIO"),
        ("M-a", "of the scheme BMES, expected BIO"),
        ("b-a", "expected O, B-type or I-type"),
        ("o", "expected O, B-type or I-type"),
    ],
)
def test_tags_of_other_schemes_are_no_types(tmp_path, tag, problem):
    with pytest.raises(CorpusError, match=problem) as caught:
        check_tag(tag, tmp_path, 3)
    assert caught.value.line == 3 and repr(tag) in str(caught.value)


@pytest.mark.parametrize("tag", ["B-a,b", "I-a|b", "B-O,2", "B-weather/noun", "B-x.B-y", "I-c++", "B-type-B-x", "B-R&B"])
def test_a_type_may_hold_what_parts_tags_elsewhere(tmp_path, tag):
    assert check_tag(tag, tmp_path, 1) == tag


# --- writing and reading back ----------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=6)
TYPES = st.from_regex(r"[A-Za-z][A-Za-z_./]{0,8}", fullmatch=True).filter(lambda name: name not in ("O", "I"))
SPANS = st.lists(st.tuples(st.none() | TYPES, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=4)


def sentence(spans):
    tokens = tuple(word for _, words in spans for word in words)
    tags = tuple("O" if name is None else f"{'I' if index else 'B'}-{name}" for name, words in spans for index in range(len(words)))
    return Sentence(tokens, tags)


@pytest.mark.parametrize("raw_format", READERS)
@IN_TMP_PATH
@given(sentences=st.lists(SPANS.map(sentence), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_every_format_reads_back_what_was_written(tmp_path, raw_format, sentences, seed):
    texts = WRITERS[raw_format](sentences, np.random.RandomState(seed))
    path = put(tmp_path, raw_format, tuple(texts.values()) if len(texts) > 1 else texts[""])
    assert READERS[raw_format](path) == sentences
