"""Layouts of tables: for a terminal, as plain text, Markdown, LaTeX and CSV."""

import re
from collections.abc import Callable, Iterable

import pandas as pd
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from analysis.tables.table import Block
from study.core.text import printable

WORDS = ("method", "best setting", "search", "chosen setting", "trial")
"""Columns that are always left-aligned; see `is_words`."""
LONG = ("best setting", "chosen setting")
"""Columns that wrap in a terminal, like text columns with a cell longer than WRAP."""
WRAP = 30
NUMBER = re.compile(r"^\[?[-+<>]?([\d.]|inf\b)")
LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": "$<$",
    ">": "$>$",
    "[": "{[}",  # after \\\\ it would be read as an optional argument
    "]": "{]}",
    "\N{GREEK SMALL LETTER ALPHA}": r"$\alpha$",
    "β": r"$\beta$",
    "\N{GREEK SMALL LETTER GAMMA}": r"$\gamma$",
    "λ": r"$\lambda$",
    "\N{GREEK SMALL LETTER RHO}": r"$\rho$",
    "\N{GREEK SMALL LETTER SIGMA}": r"$\sigma$",
    "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": r"\textendash{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    '"': "''",
    "`": r"\textasciigrave{}",  # otherwise a left quotation mark
}


def _printable(block: Block) -> Block:
    """The block with escapes for what is not printable in its names."""
    title, cells = block
    return printable(title), {printable(column): list(map(printable, below)) for column, below in cells.items()}


def is_words(column: str, cells: list[str]) -> bool:
    """Whether a column is left-aligned: in WORDS, or with text and no cell that starts like a number.

    A column of dashes only is right-aligned, like the missing numbers.
    """
    texts = [cell for cell in cells if cell not in ("", "-")]
    return column in WORDS or (bool(texts) and not any(NUMBER.match(cell) for cell in texts))


def terminal_table(blocks: Iterable[Block]) -> Group:
    """The blocks for a terminal; long settings wrap."""
    tables = []
    for title, cells in map(_printable, blocks):
        table = Table(title=Text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, padding=0)
        for column, below in cells.items():
            words = is_words(column, below)
            wraps = column in LONG or (column not in WORDS and words and max(map(len, below)) > WRAP)
            table.add_column(Text(column), justify="left" if words else "right", no_wrap=not wraps)
        for row in zip(*cells.values(), strict=True):
            table.add_row(*map(Text, row))  # as a string, a name would be read as markup
        tables.append(table)
    return Group(*tables)


def plain_table(blocks: Iterable[Block]) -> str:
    """The blocks for a file or a pipe: plain text, never wrapped or truncated."""
    texts = []
    for title, cells in map(_printable, blocks):
        columns = []
        for column, below in cells.items():
            column_texts, words = [column, *below], is_words(column, below)
            width = max(map(len, column_texts))
            columns.append([text.ljust(width) if words else text.rjust(width) for text in column_texts])
        texts.append("\n".join([title, *("  ".join(line).rstrip() for line in zip(*columns, strict=True))]))
    return "\n\n".join(texts)


def plain(blocks: Iterable[Block], caption: str) -> str:
    """The tables and their caption as plain text."""
    return f"{plain_table(blocks)}\n\n{caption}\n"


def markdown(blocks: Iterable[Block], caption: str) -> str:
    """The tables and their caption as GitHub-flavoured Markdown."""
    texts = []
    for title, cells in map(_printable, blocks):
        rule = [":--" if is_words(column, below) else "--:" for column, below in cells.items()]
        rows = [list(map(_markdown_cell, row)) for row in (list(cells), *zip(*cells.values(), strict=True))]
        lines = [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]
        texts.append("\n".join([f"**{_markdown_cell(title)}**", "", *lines]))
    return (
        "\n\n".join([*texts, "\n".join(f"{_markdown_cell(line)}  " for line in caption.splitlines())]).rstrip() + "\n"
    )


def _markdown_cell(text: str) -> str:
    """Escape a cell; underscores within a word need no escape in GitHub-flavoured Markdown."""
    return re.sub(r"([\\|*`<]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def latex(blocks: Iterable[Block], caption: str) -> str:
    """The tables as LaTeX, one `table` environment each (requires booktabs), with the caption above."""
    texts = ["% needs \\usepackage{booktabs}"]
    below = latex_text(" ".join(caption.splitlines()))
    for title, cells in map(_printable, blocks):
        align = "".join("l" if is_words(column, cell) else "r" for column, cell in cells.items())
        rows = [" & ".join(map(latex_text, row)) + r" \\" for row in zip(*cells.values(), strict=True)]
        texts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering",
                    rf"\caption{{{latex_text(title)}. {below}}}",
                    rf"\begin{{tabular}}{{{align}}}",
                    r"\toprule",
                    " & ".join(map(latex_text, cells)) + r" \\",
                    r"\midrule",
                    *rows,
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join(texts) + "\n"


def latex_text(text: str) -> str:
    r"""The text with LaTeX special characters escaped.

    >>> print(latex_text("5 % of batch_norm, β=(0.5, 0.9) λ=10 & more"))
    5 \% of batch\_norm, $\beta$=(0.5, 0.9) $\lambda$=10 \& more
    """
    escaped = "".join(LATEX.get(letter, letter) for letter in text)
    return escaped.replace("--", "-{}-")  # keep -- of options, which LaTeX would turn into a dash


def csv(frame: pd.DataFrame) -> str:
    """The frame at full precision; "" for a missing value."""
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


LAYOUTS: dict[str, Callable[[Iterable[Block], str], str]] = {"plain": plain, "markdown": markdown, "latex": latex}
"""Layouts by name: from blocks and a caption to text; `csv` takes the frame instead."""
