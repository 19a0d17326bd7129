import pytest

from litmlp.memo import Memo


def test_equal_keys_are_computed_once():
    memo, computed = Memo(2), []
    results = [memo.of(key, lambda key=key: computed.append(key) or len(computed)) for key in "abab"]
    assert results == [1, 2, 1, 2]
    assert computed == ["a", "b"]


def test_a_result_that_is_none_is_kept_and_an_error_is_raised_each_time():
    memo, computed = Memo(2), []

    def fail() -> None:
        computed.append("failed")
        raise ValueError("no")

    assert memo.of("a", lambda: computed.append("a")) is memo.of("a", lambda: computed.append("again")) is None
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            memo.of("b", fail)
    assert computed == ["a", "failed", "failed"]


def test_a_full_memo_starts_anew():
    memo = Memo(2)
    assert [memo.of(key, lambda key=key: key.upper()) for key in "abc"] == ["A", "B", "C"]
    assert list(memo.kept) == ["c"]
