"""The workload's pages: its C code agrees with a model, and the patterns are what they claim.

The model is written from the descriptions in ``payload/pages.h``.
"""

from __future__ import annotations

import subprocess
import zlib
from collections import Counter
from pathlib import Path

import pytest

from migrationlab.lab.boot_files import COMPILE, PAYLOAD

MASK = 2**64 - 1
MILLION = 1_000_000
HOT_PAGES, HOT_WRITES = 100_000, 900_000


def mix(x: int) -> int:
    """Return the next random number of splitmix64 for a state (Steele, Lea, Flood, 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def zipf(pages: int, r: int) -> int:
    """Return the page of a random number, octave by octave."""
    octaves = []
    while (first := 2 ** len(octaves) - 1) < pages:
        octaves.append((first, min(2 ** len(octaves), pages - first)))
    weights = [65536 * width // 2**e for e, (_, width) in enumerate(octaves)]
    first, width = octaves[((r & 0xFFFFFFFF) * sum(weights) >> 32) // 65536]
    return first + (r >> 32) % width


def page_of(pattern: str, pages: int, first_number: int, k: int) -> int:
    """Return the page of a write."""
    if k < pages or pattern == "sequential":
        return k % pages
    r = mix(first_number + k)
    if pattern == "random":
        return r % pages
    if pattern == "zipf":
        return zipf(pages, r)
    hot = min(max(pages * HOT_PAGES // MILLION, 1), max(pages - 1, 1))
    if hot == pages or (r & 0xFFFFFFFF) < 2**32 * HOT_WRITES // MILLION:
        return (r >> 32) % hot
    return hot + (r >> 32) % (pages - hot)


def page_content(number: int, page: int, noise: int, *, fresh: bool) -> list[int]:
    """Return the words of a page after a write."""
    seed = mix(~(number if fresh else page) & MASK)
    words = [0] * 512
    for step in range(8):
        words[step * 64] = number * 8 + step
        for w in range(1, noise + 1):
            words[step * 64 + w] = mix((seed % 512 + step * 64 + w) << 32) ^ seed
    return words


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled program that prints what the C code says."""
    path = tmp_path_factory.mktemp("pages") / "harness"
    flags = [flag for flag in COMPILE if flag != "-static"]
    checks = ["-Werror", "-Wno-unused-function", "-Wno-unused-variable", "-fsanitize=undefined"]
    source = Path(__file__).with_name("pages_harness.c")
    argv = [*flags, *checks, "-fno-sanitize-recover", "-I", PAYLOAD, "-o", path, source]
    subprocess.run(argv, check=True)
    return path


def answers(harness: Path, *words: object) -> list[int]:
    """Return the numbers that the C code says."""
    argv = [str(harness), *map(str, words)]
    return list(map(int, subprocess.run(argv, capture_output=True, check=True).stdout.split()))


@pytest.mark.parametrize("pages", [1, 2, 3, 7, 100, 255, 4096])
@pytest.mark.parametrize("pattern", ["sequential", "random", "hot-cold", "zipf"])
@pytest.mark.parametrize("first_number", [0, 5 << 48])
def test_writes_go_where_the_model_says(
    harness: Path, pattern: str, pages: int, first_number: int
) -> None:
    """Each write goes to the model's page, which is one of the area; the first go to all pages."""
    found = answers(harness, "pages", pattern, pages, first_number, HOT_PAGES, HOT_WRITES, 0, 5000)
    assert found == [page_of(pattern, pages, first_number, k) for k in range(5000)]
    assert set(found[:pages]) == set(found) == set(range(pages)) if pages < 5000 else True


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("noise", [0, 1, 32, 63])
def test_pages_hold_what_the_model_says(harness: Path, noise: int, *, fresh: bool) -> None:
    """A page holds the model's words; the check accepts them and finds a changed bit in each."""
    number, page = (3 << 48) + 12_345, 678
    found = answers(harness, "page", number, page, noise, int(fresh))
    assert found == page_content(number, page, noise, fresh=fresh)


@pytest.mark.parametrize(("share", "noise"), [(0, 0), (0.25, 16), (0.5, 32), (1, 63)])
def test_share_of_a_page_does_not_compress(share: float, noise: int) -> None:
    """zlib makes of 64 neighbouring pages about the share that does not compress."""
    words = (page_content(k, k, noise, fresh=True) for k in range(64))
    data = b"".join(word.to_bytes(8, "little") for page in words for word in page)
    assert len(zlib.compress(data)) / len(data) == pytest.approx(share, abs=0.03)


def test_hot_pages_get_their_writes(harness: Path) -> None:
    """90 % of the writes go to the 10 % of pages that are hot, evenly."""
    found = answers(harness, "pages", "hot-cold", 1000, 0, HOT_PAGES, HOT_WRITES, 1000, 50_000)
    hot = Counter(page for page in found if page < 100)
    assert hot.total() / len(found) == pytest.approx(0.9, abs=0.01)
    assert len(hot) == 100
    assert max(hot.values()) < 1.5 * min(hot.values())


def test_zipf_halves_from_octave_to_octave(harness: Path) -> None:
    """Each octave of pages gets as many writes as any other, so a page half of the one before."""
    found = answers(harness, "pages", "zipf", 1023, 0, HOT_PAGES, HOT_WRITES, 1023, 50_000)
    octaves = Counter((page + 1).bit_length() for page in found)
    assert sorted(octaves) == list(range(1, 11))
    assert min(octaves.values()) / max(octaves.values()) > 0.9


@pytest.mark.parametrize(
    ("rate", "phases", "rates"),
    [
        (1000, "", {0: 1000, 99_999: 1000}),
        (1000, "1000000:200,250000:100", {0: 1000, 199: 1000, 200: 250, 299: 250, 300: 1000}),
        (1000, "500000:100,0", {0: 500, 99: 500, 100: 0, 100_000: 0}),
        (-1, "1000000:100,0:50", {0: -1, 99: -1, 100: 0, 149: 0, 150: -1}),
        (0, "1000000:100,0", {0: 0, 100: 0}),
    ],
)
def test_rate_follows_the_phases(
    harness: Path, rate: int, phases: str, rates: dict[int, int]
) -> None:
    """At each moment the rate is that of its phase; phases repeat, unless the last has no time."""
    assert answers(harness, "rate", rate, phases, *rates) == list(rates.values())
