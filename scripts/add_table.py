"""Write a config for a table of your own: python scripts/add_table.py my.csv --target price."""

import argparse
import re
from pathlib import Path

import yaml

from litmlp import process
from litmlp.auto_task import CLASSIFICATION, task_of
from litmlp.data import ClassTarget, NumericTarget, TableData
from litmlp.errors import InputError
from litmlp.files import write_text
from litmlp.paths import CONF, ROOT, display

TEMPLATE = """\
# {num_rows} rows of {file}, as read by scripts/add_table.py. To correct how a column is read, use the lists
# `numeric`, `categorical`, `date` and `ignore`, and `missing_values`.
defaults:
  - override /task@_global_.task: {task}  # {reason}

_target_: litmlp.data.TableData
path: {path}
target: {target}
{ignore}seed: ${{seed}}

# Inputs:
{inputs}
"""


def main() -> None:
    """Run the command."""
    with process.guarded("add_table"):
        _run(_arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", help="a text file such as CSV, also compressed, or Parquet; or a folder or a pattern")
    parser.add_argument("--target", required=True, nargs="+", help="the column to predict; several for regression")
    parser.add_argument("--name", help="the name of the new option of data; default: the file's name")
    parser.add_argument("--task", choices=["regression", "classification"], help="default: inferred from the target")
    parser.add_argument("--force", action="store_true", help="replace a config that has this name")
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> None:
    try:
        file = add_table(arguments.path, arguments.target, arguments.name, arguments.task, arguments.force)
    except ValueError as error:
        raise InputError(str(error)) from error
    print(f"{display(file)}\ntry it: litmlp-train data={file.stem}")


def add_table(
    path: str, target: list[str], name: str | None, task: str | None, force: bool = False, conf: Path = CONF
) -> Path:
    """Write `conf/data/<name>.yaml` and return its path.

    Raises:
        InputError: the table cannot be used, or there is already a config of this name.
    """
    name = name or re.sub(r"\W+", "_", Path(path).name.partition(".")[0].lower()).strip("_") or "table"
    if not re.fullmatch(r"\w+", name):
        raise InputError(f"'{name}' is no name for an option: use letters, digits and _")
    file = conf / "data" / f"{name}.yaml"
    if file.exists() and not force:
        raise InputError(f"'{display(file)}' exists: choose another --name, or add --force to replace it")
    columns = target[0] if len(target) == 1 else target
    if task is None:
        class_name, reason = task_of(TableData(path, columns, NumericTarget))
        task = "classification" if class_name == CLASSIFICATION else "regression"
    else:
        reason = "as given by --task"
    data = TableData(path, columns, ClassTarget if task == "classification" else NumericTarget)
    data.setup()
    write_text(file, _config(data, Path(path).name, task, reason))
    return file


def _config(data: TableData, file: str, task: str, reason: str) -> str:
    left_out = {n: d.removeprefix("left out: ") for n, d in data.inputs.decisions.items() if d.startswith("left out")}
    inputs = {name: decision for name, decision in data.inputs.decisions.items() if name not in left_out}
    lines = [f"  - {_scalar(name)}  # {why}\n" for name, why in left_out.items()]
    return TEMPLATE.format(
        file=file,
        num_rows=sum(len(rows.numeric) for rows in data.tables.values()),
        task=task,
        reason=reason,
        path=_scalar(_path(str(data.path))),
        target=_scalar(data.target.columns if len(data.target.columns) > 1 else data.target.columns[0]),
        ignore=f"ignore:\n{''.join(lines)}" if lines else "",
        inputs="\n".join(f"#   {name}: {decision}" for name, decision in inputs.items()),
    )


def _path(path: str) -> str:
    absolute = Path(path).expanduser().absolute()
    return absolute.relative_to(ROOT).as_posix() if absolute.is_relative_to(ROOT) else str(absolute)


def _scalar(value: str | list[str]) -> str:
    # YAML on one line; `...` is the end mark that PyYAML puts after a plain value.
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6).removesuffix("...\n").strip()


if __name__ == "__main__":
    main()
