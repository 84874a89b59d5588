"""Runs `stemsplit help`."""

from typing import Annotated

import typer


def complete_topic(incomplete: str) -> list[tuple[str, str]]:
    """Complete the name of a topic, for the shell."""
    from stemsplit.terminal import topics

    return [(name, line) for name, line in topics.topics().items() if name.startswith(incomplete)]


def help_(
    context: typer.Context,
    topic: Annotated[
        str | None,
        typer.Argument(metavar="TOPIC", help="Name of a topic, or of a command.", autocompletion=complete_topic),
    ] = None,
) -> None:
    """Explain a topic, or list the topics."""
    from stemsplit.terminal import topics
    from stemsplit.words import did_you_mean

    known = topics.topics()
    program = context.find_root().command
    commands = program.commands if isinstance(program, typer.core.TyperGroup) else {}
    if topic is None:
        topics.print_topics(known)
    elif topic in known:
        topics.print_topic(topic)
    elif topic in commands:
        program.main([topic, "--help"], prog_name="stemsplit")
    else:
        hint = did_you_mean(topic, [*known, *commands]) or "; see all topics with: stemsplit help"
        raise typer.BadParameter(f"there is no topic or command {topic!r}{hint}", param_hint="TOPIC")
