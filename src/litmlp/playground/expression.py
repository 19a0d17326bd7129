"""Evaluates arithmetic expressions of a user without running them as Python code.

An expression consists of names, numbers, operators and functions.
"""

import ast
import warnings
from collections.abc import Callable, Mapping

import numpy as np

from litmlp.data.cells import shortened
from litmlp.errors import InputError, did_you_mean

MAX_LENGTH = 2000  # letters of an expression
CONSTANTS = {"pi": np.float64(np.pi), "e": np.float64(np.e)}
FUNCTIONS: dict[str, tuple[Callable, int]] = {  # by name: the function and its number of arguments
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "tan": (np.tan, 1),
    "tanh": (np.tanh, 1),
    "exp": (np.exp, 1),
    "log": (np.log, 1),
    "sqrt": (np.sqrt, 1),
    "abs": (np.abs, 1),
    "sign": (np.sign, 1),
    "floor": (np.floor, 1),
    "minimum": (np.minimum, 2),
    "maximum": (np.maximum, 2),
    "where": (np.where, 3),
}
OPERATORS: dict[type, Callable] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
    ast.Lt: np.less,
    ast.Gt: np.greater,
    ast.LtE: np.less_equal,
    ast.GtE: np.greater_equal,
}


def evaluate(text: str, variables: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the value of the expression `text` for arrays of `variables`. `^` and `**` both mean a power.

    Raises:
        InputError: `text` is no such expression, or contains an unknown name.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"'{shortened(text)}' has {len(text)} letters, but an expression has at most {MAX_LENGTH}")
    try:
        with np.errstate(all="ignore"):
            return np.asarray(_value(_parsed(text), shortened(text), variables), dtype=np.float64)
    except (RecursionError, MemoryError) as error:
        raise InputError(f"'{shortened(text)}' is nested too deeply: write fewer parentheses and signs") from error
    except OverflowError as error:
        raise InputError(f"'{shortened(text)}' holds a number that is too large: the largest is 1.8e308") from error


def _parsed(text: str) -> ast.AST:
    try:
        with warnings.catch_warnings(action="ignore"):  # Python warns of code such as "1 is 1", which never runs here
            return ast.parse(text.replace("^", "**").strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:  # ValueError: the text contains a NUL
        if "too many nested" in str(error):
            raise RecursionError from error  # `evaluate` reports this as nesting that is too deep
        raise InputError(f"'{shortened(text)}' is not an expression: write for example sin(3*x) + x^2") from error


def _value(node: ast.AST, text: str, variables: Mapping[str, np.ndarray]) -> np.ndarray | float:
    def value(child: ast.AST) -> np.ndarray | float:
        return _value(child, text, variables)

    match node:
        case ast.Constant(value=int() | float() as number):  # includes True and False, which are 1 and 0
            return np.float64(number)
        case ast.Name(id=name) if name in variables or name in CONSTANTS:
            return variables[name] if name in variables else CONSTANTS[name]
        case ast.Name(id=name):
            raise InputError(f"'{text}' names '{shortened(name)}': {did_you_mean(name, [*variables, *CONSTANTS])}")
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value(left), value(right))
        case ast.UnaryOp(op, operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value(operand))
        case ast.Compare(left, [op], [right]) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value(left), value(right)) * 1.0  # 1 where true, 0 elsewhere
        case ast.Call(ast.Name(name), arguments, []) if name in FUNCTIONS:
            function, arity = FUNCTIONS[name]
            if len(arguments) != arity:
                raise InputError(f"'{text}' gives {name} {len(arguments)} arguments, but it takes {arity}")
            return function(*map(value, arguments))
        case ast.Call(ast.Name(name), _, [keyword, *_]) if name in FUNCTIONS:
            raise InputError(
                f"'{text}' gives {name} an argument by name, {shortened(keyword.arg or '**')}: give values alone"
            )
        case ast.Call(ast.Name(name)):
            raise InputError(f"'{text}' calls '{shortened(name)}': {did_you_mean(name, FUNCTIONS)}")
    raise InputError(
        f"'{text}' holds '{shortened(ast.unparse(node))}': only numbers, names, + - * / % ^ and functions work"
    )
