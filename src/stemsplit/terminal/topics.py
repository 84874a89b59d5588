"""Prints the topics of `stemsplit help`: drawn by rich on a terminal, as they are written elsewhere."""

from collections.abc import Mapping
from pathlib import Path

from stemsplit.terminal.stdout import print_text
from stemsplit.terminal.tables import is_terminal, print_table

FOLDER = Path(__file__).parents[1] / "docs"

ORDER = ("splitting", "models", "ensembles", "scripts", "training", "speed", "separation")
"""Names of topics, the most needed ones first; all others follow by name."""

WIDEST = 100
"""Largest width of the text, in columns; longer lines are hard to read."""

LONGEST_NAME = 32
"""Largest width in columns of a first column whose cells are kept on one line each."""


def _place(name: str) -> tuple[int, str]:
    """Return the sort key of a topic."""
    return ORDER.index(name) if name in ORDER else len(ORDER), name


def topics() -> dict[str, str]:
    """Return each topic's description, in the order of the list: the text after the name in its first line."""
    found = {}
    for name in sorted((path.stem for path in FOLDER.glob("*.md")), key=_place):
        with (FOLDER / f"{name}.md").open(encoding="utf-8") as file:
            found[name] = file.readline().removeprefix("# ").partition(": ")[2].strip()
    return found


def print_topics(known: Mapping[str, str]) -> None:
    """Print a line for each topic, and the command that prints one."""
    print_table([*known.items()])
    print_text("", "To read a topic: stemsplit help TOPIC", "To see a command's options: stemsplit help COMMAND")


def print_topic(name: str) -> None:
    """Print a topic."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    if is_terminal():
        _draw(text)
    else:
        print_text(*text.splitlines())


def _draw(text: str) -> None:
    """Draw Markdown on a terminal."""
    # Only for a terminal: it takes longer to import than the text takes to print.
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import CodeBlock, Heading, Markdown, TableElement
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text
    from rich.theme import Theme

    class Left(Heading):
        """A heading at the left edge, where the text begins; rich would centre it."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            self.text.justify = "left"
            yield self.text if self.tag == "h1" else Padding(self.text, (1, 0, 0, 0))

    class Plain(CodeBlock):
        """Code to be copied: indented, without a background and without colours."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            yield Padding(Text(str(self.text).rstrip()), (0, 0, 0, 2))

    class Whole(TableElement):
        """A table that cuts no word short, and breaks no name in its first column: it may have to be typed."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for part in super().__rich_console__(console, options):
                if isinstance(part, Table):
                    for column in part.columns:
                        column.overflow = "fold"
                    first = part.columns[0]
                    first.no_wrap = max((len(str(cell)) for cell in first.cells), default=0) <= LONGEST_NAME
                yield part

    class Topic(Markdown):
        """Markdown with such headings, code and tables."""

        elements = {  # noqa: RUF012 -- as rich has it
            **Markdown.elements,
            "heading_open": Left,
            "fence": Plain,
            "table_open": Whole,
        }

    styles = {"markdown.h1": "bold", "markdown.h2": "bold underline", "markdown.code": "bold"}
    console = Console(theme=Theme(styles), highlight=False)
    console.print(Topic(text), width=min(console.width, WIDEST))
