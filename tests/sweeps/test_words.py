import pytest

from litmlp.sweeps.words import brief, short_names


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["optimizer.lr", "seed"], ["lr", "seed"]),
        (["a.b.c"], ["c"]),
        (["data.seed", "seed", "optimizer.lr"], ["data.seed", "seed", "lr"]),
        ([], []),
    ],
)
def test_names_are_short_unless_two_would_be_the_same(keys: list[str], expected: list[str]):
    assert short_names(keys) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.00123456", "0.001235"),
        ("0.1", "0.1"),
        ("8", "8"),
        ("1000000", "1e+06"),
        ("12345", "12345"),
        ("[128,128]", "[128,128]"),
        ("adam", "adam"),
        ("null", "null"),
        ("", ""),
    ],
)
def test_long_numbers_are_four_digits(text: str, expected: str):
    assert brief(text) == expected
