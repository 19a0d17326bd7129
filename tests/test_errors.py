from litmlp.errors import did_you_mean, shown


def test_the_nearest_name_is_told_or_all_of_them():
    assert did_you_mean("Relu", ["ReLU", "Tanh"]) == "did you mean 'ReLU'?"
    assert did_you_mean("zzz", ["ReLU", "Tanh"]) == "known are ReLU, Tanh"
    assert did_you_mean("zzz", []) == "there are none"


def test_what_differs_and_does_not_show_is_told():
    assert did_you_mean("y", [" y"]) == "did you mean ' y', with the blanks?"
    assert (
        did_you_mean("wide", ["wide\u200b"]) == r"did you mean 'wide\u200b', which holds characters that do not show?"
    )


def test_long_lists_and_values_are_cut():
    assert did_you_mean("zzz", map(str, range(40_000))).endswith(" and 39960 more")
    assert len(shown("x" * 10**6)) <= 100
    assert len(shown(10**5000)) <= 100
