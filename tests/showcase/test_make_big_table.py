from make_big_table import big_table


def test_the_table_has_the_promised_columns() -> None:
    table = big_table(20_000)
    assert table.shape == (20_000, 30)
    kinds = [str(dtype).partition("(")[0] for dtype in table.dtypes]
    assert {kind: kinds.count(kind) for kind in kinds} == {"Float64": 19, "Int64": 5, "String": 5, "Datetime": 1}
    assert table["level_4"].n_unique() > 4000


def test_the_target_depends_on_a_few_columns() -> None:
    table = big_table(20_000)
    signal = table["normal_0"] + table["normal_1"] * table["normal_2"] + table["amount_0"].log()
    assert abs((table["y"] - signal).std() - 1) < 0.05


def test_the_same_table_each_time() -> None:
    assert big_table(100).equals(big_table(100))
