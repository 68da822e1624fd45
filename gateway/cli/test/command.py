"""The command: reads the files, runs the tests, prints what failed, and says it by its exit status."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli.configuration import config_option
from gateway.cli.test import file, judge, junit
from gateway.cli.test.file import Suite
from gateway.cli.test.judge import Report, Result
from gateway.config import Config, ConfigError, Problem, load

_UNUSABLE = 2


@click.command("test")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@config_option
@click.option("--junit", "junit_path", type=click.Path(path_type=Path), help="Also write the results as JUnit XML.")
@click.option("-v", "--verbose", is_flag=True, help="Name the tests that passed too, and tell each step of a failure.")
def command(files: tuple[Path, ...], config_path: Path | None, junit_path: Path | None, verbose: bool) -> None:
    """Run policy tests: requests and claims, and what is to come of them. Nothing is asked of the network.

    Exit status: 0 all passed, 1 some failed, 2 when a FILE or the configuration can't be used.
    """
    try:
        config = load(config_path)
        reports = asyncio.run(judge.run(config, _suites(files, config)))
    except ConfigError as error:
        click.echo(error, err=True)
        sys.exit(_UNUSABLE)
    for report in reports:
        for line in _lines(report, is_verbose=verbose):
            click.echo(line)
    if junit_path is not None:
        _write(junit_path, junit.document(reports))
    failed = sum(report.failed for report in reports)
    click.echo(f"{sum(len(report.results) for report in reports) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def _suites(paths: tuple[Path, ...], config: Config) -> list[Suite]:
    """All files. Raises `ConfigError` with the problems of all of them."""
    suites: list[Suite] = []
    problems: list[Problem] = []
    for path in dict.fromkeys(paths):
        try:
            suites.append(file.load(path, config))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return suites


def _lines(report: Report, *, is_verbose: bool) -> Iterator[str]:
    for result in report.results:
        if not result.is_passed:
            yield f"{result.case.where}: {_one_line(result.case.block.name)}: {_one_line(result.message)}"
            if is_verbose:
                yield from _steps(result)
        elif is_verbose:
            yield f"{result.case.where}: {_one_line(result.case.block.name)}: passed"


def _steps(result: Result) -> Iterator[str]:
    return (f"    {_one_line(line)}" for line in result.explanation.lines())


def _one_line(text: str) -> str:
    """A name may hold line ends and controls, which must not make a line of their own or move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _write(path: Path, document: bytes) -> None:
    try:
        path.write_bytes(document)
    except OSError as problem:
        click.echo(f"{path}: can't be written: {problem.strerror}", err=True)
        sys.exit(_UNUSABLE)
