"""Expressions: right, or one sentence."""

import ast
import math

import numpy as np
import pytest
from hypothesis import strategies as st

from litmlp.errors import InputError
from litmlp.playground.expression import FUNCTIONS, evaluate
from soak.soaking import Soak

X = np.array([-2.5, -1.0, -0.0, 0.5, 1.0, 3.0, 1e200])
OPERATORS = ("+", "-", "*", "/", "%", "**", "<", ">", "<=", ">=")
NAMES = {
    "x": X,
    "pi": np.float64(math.pi),
    "e": np.float64(math.e),
    **{name: function for name, (function, _) in FUNCTIONS.items()},
}
NUMBERS = st.one_of(
    st.integers(0, 10**30).map(str),
    st.floats(0, allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["1e400", "0x1F", "1_000", "5e-324", "1e308", "True", "False"]),
)
LEAVES = st.one_of(NUMBERS, st.sampled_from(["x", "pi", "e"]))


def larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    calls = [
        st.tuples(st.just(name), st.lists(parts, min_size=arity, max_size=arity))
        for name, (_, arity) in FUNCTIONS.items()
    ]
    return st.one_of(
        st.builds("({} {} {})".format, parts, st.sampled_from(OPERATORS), parts),
        st.builds("({}{})".format, st.sampled_from("+-"), parts),
        st.one_of(calls).map(lambda call: f"{call[0]}({', '.join(call[1])})"),
    )


class Floats(ast.NodeTransformer):
    """Makes NumPy's numbers of Python's, and of truth values."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Call(ast.Name("number", ast.Load()), [node], [])

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        return ast.Call(ast.Name("number", ast.Load()), [self.generic_visit(node)], [])


def by_python(text: str) -> np.ndarray:
    """The value by Python's own eval."""
    tree = ast.fix_missing_locations(Floats().visit(ast.parse(text, mode="eval")))
    with np.errstate(all="ignore"):
        value = eval(compile(tree, "text", "eval"), {"__builtins__": {}, "number": np.float64}, NAMES)
    return np.asarray(value, dtype=np.float64)


@pytest.mark.soak(share=0.3)
def test_expressions_have_the_value_that_python_gives_them(soak: Soak) -> None:
    def check(text: str) -> str:
        np.testing.assert_allclose(evaluate(text, {"x": X}), by_python(text), rtol=1e-13)
        return "right"

    soak.explore(st.recursive(LEAVES, larger, max_leaves=20), check)


PIECES = st.one_of(
    LEAVES,
    st.sampled_from(
        [*FUNCTIONS, "x1", "π", "x.real", "__class__", "lambda:", "if", "else", "not", "1j", "'x'", "None"]
    ),
    st.sampled_from(
        ["(", ")", "[", "]", "{", ",", "=", "**", "//", ":=", "^", "~", "!", "\\", '"', "\n", "\0", " ", "#"]
    ),
    st.sampled_from(["(" * 300, "-" * 1500, "9" * 1500, "x+" * 800, "**9" * 500, "sin(" * 250, "out=x", "9" * 10**6]),
    st.characters(),
)


@pytest.mark.soak(share=0.3)
def test_any_text_is_an_expression_or_a_sentence(soak: Soak) -> None:
    def check(text: str) -> str:
        try:
            value = evaluate(text, {"x": X})
        except InputError as error:
            sentence = str(error)
        else:
            assert value.shape in ((), X.shape)
            return "a value"
        assert sentence.isprintable()
        assert len(sentence) < 1000
        return "a sentence"

    soak.explore(st.lists(PIECES, max_size=12).map("".join), check)
