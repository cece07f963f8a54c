"""The table of causes: its wordings, its codes, and that each is found by its own."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from migrationlab.explain.explanation import causes
from migrationlab.explain.matching import compiled, rarest_words, table, whole_words
from migrationlab.explain.unwrap import unwrap

WORDINGS = [wording for cause in causes() for wording in cause.wordings]


def test_every_wording_can_be_found() -> None:
    """Each wording is there once, has a word to be looked up by, and no stray placeholder."""
    assert [wording for wording, count in Counter(WORDINGS).items() if count > 1] == []
    assert [wording for wording in WORDINGS if not whole_words(wording)] == []
    stray = [w for w in WORDINGS if "{" in re.sub(r"\{(|n|word|quoted)\}", "", w)]
    assert stray == []
    index = rarest_words(WORDINGS)
    numbers = sorted(number for numbers in index.values() for number in numbers)
    assert numbers == list(range(len(WORDINGS)))


def test_word_that_touches_a_placeholder_is_not_whole() -> None:
    """A word can be longer in the text where a placeholder touches it."""
    assert whole_words("^cannot open '{}file' {n} Times{word}, or so") == [
        "cannot",
        "open",
        "or",
        "so",
    ]


def test_sufficient_code_means_one_cause() -> None:
    """No two causes claim that one of libvirt's codes names them."""
    claims = Counter(code for cause in causes() for code in cause.sufficient_codes)
    assert [code for code, count in claims.items() if count > 1] == []
    # VIR_ERR_INTERNAL_ERROR, INVALID_ARG, OPERATION_FAILED, SYSTEM_ERROR, OPERATION_INVALID.
    assert not {1, 8, 9, 38, 55} & set(claims)


@given(st.sampled_from(WORDINGS), st.data())
def test_placeholder_takes_any_name(wording: str, data: st.DataObject) -> None:
    """A wording finds a text whatever stands in its places, so that no literal decides."""
    fillings: dict[str, Any] = {
        "{}": st.from_regex("[a-z/:0-9 ]{0,30}", fullmatch=True),
        "{n}": st.from_regex("[0-9]{1,6}", fullmatch=True),
        "{word}": st.from_regex("[a-z0-9/.-]{1,20}", fullmatch=True),
        "{quoted}": st.just("'a b'"),
    }
    parts = re.split(r"(\{\w*\})", wording.lower().removeprefix("^").removesuffix("$"))
    text = "".join(data.draw(fillings[part]) if part in fillings else part for part in parts)
    assert compiled(wording).search(text)


def test_end_of_a_message_can_be_asked_for() -> None:
    """A wording with $ finds no message that goes on."""
    wording = compiled("missing features: pdcm$")
    assert wording.search("missing features: pdcm")
    assert wording.search("message='missing features: pdcm')\nnext")
    assert not wording.search("missing features: pdcm,avx2")
    assert not wording.search("missing features: pdcm2")


def test_message_among_the_words_of_all_is_found() -> None:
    """A message is found in a long text that has each word of the table elsewhere, too."""
    words = sorted({word for wording in WORDINGS for word in whole_words(wording)})
    draw = random.Random(1)
    noise = "\n".join(" ".join(draw.choices(words, k=16)) for _ in range(5_000))
    said = "error: unable to connect to server at 'host-b:49152': no route to host"
    plain = unwrap(f"{noise}\n{said}\n{noise}")
    assert len(plain.text) > 1 << 20
    assert set(words) <= set(plain.text.split())
    assert "port-closed" in {found.wording.cause.id for found in table().matches(plain)}
