"""Arithmetic typed by a user, evaluated without running code: names, numbers, operators, functions."""

import ast
import operator
from collections.abc import Callable, Mapping

import numpy as np

from litmlp.errors import InputError, did_you_mean

CONSTANTS = {"pi": np.pi, "e": np.e}
FUNCTIONS: dict[str, Callable] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "where": np.where,
}
OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Lt: operator.lt,
    ast.Gt: operator.gt,
    ast.LtE: operator.le,
    ast.GtE: operator.ge,
}


def evaluate(text: str, variables: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the value of `text` for arrays of `variables`; `^` is a power, as on paper.

    Raises:
        InputError: `text` is no expression of the kinds above, or names something unknown.
    """
    try:
        tree = ast.parse(text.replace("^", "**").strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise InputError(f"'{text}' is not an expression: write for example sin(3*x) + x^2") from error
    with np.errstate(all="ignore"):
        return np.asarray(_value(tree.body, text, variables), dtype=np.float64)


def _value(node: ast.AST, text: str, variables: Mapping[str, np.ndarray]) -> np.ndarray | float:
    def value(child: ast.AST) -> np.ndarray | float:
        return _value(child, text, variables)

    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name) if name in variables or name in CONSTANTS:
            return variables[name] if name in variables else CONSTANTS[name]
        case ast.Name(id=name):
            raise InputError(f"'{text}' names '{name}': {did_you_mean(name, [*variables, *CONSTANTS])}")
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value(left), value(right))
        case ast.UnaryOp(op, operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value(operand))
        case ast.Compare(left, [op], [right]) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value(left), value(right))
        case ast.Call(ast.Name(name), arguments, []) if name in FUNCTIONS:
            return FUNCTIONS[name](*map(value, arguments))
        case ast.Call(ast.Name(name)):
            raise InputError(f"'{text}' calls '{name}': {did_you_mean(name, FUNCTIONS)}")
    raise InputError(f"'{text}' holds '{ast.unparse(node)}': only numbers, names, + - * / % ^ and functions work")
