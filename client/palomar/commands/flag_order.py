"""A command whose flags are read as `hubble` reads its own, and whose order is remembered.

Click's reading differs where scripts would notice: it refuses `--all=false` and `-f=false`, knows
no words for such a flag, and gathers values by name, so that nobody can tell which flag `--not`
stood before. In: the command line. Out: the parameters, as click has them, and `flags_in_order`.

A flag without a value never takes the next word; one with a value takes it whatever it looks like.
In the dialect of `hubble`, extra words are ignored and errors have its wording.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from palomar.commands.invocation import Invocation
from palomar.errors import InvalidRequest
from palomar.filter_flags import FILTER_KEYS, OWN_FLAGS
from palomar.go_syntax import parse_bool, quote

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

BARE = "true"
"""What `flags_in_order` gives as the value of a flag that takes none and was given none."""

NEGATION = "--not-"
"""How flags begin that leave out what the flag they name matches."""

_META_FLAGS = "palomar.flags_in_order"
_META_TEXTS = "palomar.flag_texts"


class OrderedCommand(click.Command):
    """A command whose function may ask for the flags in their order.

    Each of its filter flags has a contrary, `--not-NAME`. These are no options of their own, for
    the sake of the help and of the time it takes to make options: they show up in
    `flags_in_order` only.
    """

    def make_parser(self, ctx: click.Context) -> Any:
        """Make the parser; click's own for the completion of an unfinished line."""
        if ctx.resilient_parsing:
            return super().make_parser(ctx)
        strict = Invocation.of(ctx).strict
        return _Parser(ctx, self.get_params(ctx), strict=strict)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Complete as click does, and the contraries of filter flags."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - rare

        found = super().shell_complete(ctx, incomplete)
        if not incomplete.startswith(NEGATION):
            return found
        names = [name for option in self.get_params(ctx) for name in option.opts]
        contraries = [
            f"{NEGATION}{name.removeprefix('--')}"
            for name in names
            if name.removeprefix("--") in FILTER_KEYS
        ]
        return found + [CompletionItem(name) for name in contraries if name.startswith(incomplete)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, with the errors that the dialect has for it."""
        strict = Invocation.of(ctx).strict
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter:
            raise
        except click.BadParameter as error:
            text = ctx.meta.get(_META_TEXTS, {}).get(error.param and error.param.name)
            if not strict or error.param is None or text is None:
                raise
            raise click.UsageError(_invalid(error.param, text, error.message), ctx) from error


def flags_in_order(ctx: click.Context, names: Iterable[str]) -> list[tuple[str, str]]:
    """List the given flags as (name without dashes, value); `BARE` is the value of one without.

    Args:
        ctx: Context of an `OrderedCommand`.
        names: Names of the flags that are wanted; `--not-NAME` comes along with NAME.
    """
    wanted = set(names)
    return [
        (name, value)
        for name, value in ctx.meta[_META_FLAGS]
        if name in wanted or name.removeprefix("not-") in wanted
    ]


def first_word(command: click.Command, ctx: click.Context, args: Sequence[str]) -> int | None:
    """Find the first word that is no flag of a command and no value of one.

    Args:
        command: Whose flags they are.
        ctx: Any context.
        args: The words.

    Returns:
        Its place; `None` without one.
    """
    valued = {
        name
        for parameter in command.get_params(ctx)
        if isinstance(parameter, click.Option) and not _has_no_value(parameter)
        for name in parameter.opts
    }
    skip = False
    for place, word in enumerate(args):
        if skip:
            skip = False
        elif word == "--":
            return None
        elif not word.startswith("-") or word == "-":
            return place
        else:
            skip = word in valued or (
                word.startswith(NEGATION) and f"--{word.removeprefix(NEGATION)}" in valued
            )
    return None


@dataclass
class _Words:
    """What a command line says.

    Attributes:
        flags: (long name without dashes, value) of every flag in its order.
        values: Per parameter what click's own parser would have left.
        texts: Per parameter what was given for it last, for messages.
        order: Options in the order they were given.
        loose: Words that are no flags and no values of any.
    """

    flags: list[tuple[str, str]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    order: list[click.Parameter] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)


class _Parser:
    """Splits words into flags, their values, and what is left; stands in for click's parser."""

    _opt_prefixes = frozenset({"-", "--"})  # click asks for it

    def __init__(
        self, ctx: click.Context, parameters: Sequence[click.Parameter], *, strict: bool
    ) -> None:
        self._ctx = ctx
        self._parameters = parameters
        self._options = {
            name: parameter
            for parameter in parameters
            if isinstance(parameter, click.Option)
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        self._strict = strict
        self._words = _Words()

    def parse_args(
        self, args: list[str]
    ) -> tuple[dict[str, Any], list[str], list[click.Parameter]]:
        """Split the words.

        Returns:
            What each parameter was given, the words that are too many, and the parameters in the
            order they were given.
        """
        words, rest = self._words, iter(args)
        try:
            for word in rest:
                if word == "--":
                    words.loose += rest
                elif word.startswith("--"):
                    self._long(word, rest)
                elif word.startswith("-") and word != "-":
                    self._short(word, rest)
                else:
                    words.loose.append(word)
        except click.UsageError as error:
            error.ctx = self._ctx
            raise
        self._ctx.meta.update({_META_FLAGS: words.flags, _META_TEXTS: words.texts})
        loose = _take_arguments(self._parameters, words)
        return words.values, [] if self._strict else loose, words.order

    def _long(self, word: str, rest: Iterator[str]) -> None:
        name, equals, text = word.partition("=")
        option = self._options.get(name)
        if option is None or (self._strict and name.removeprefix("--") in OWN_FLAGS):
            self._negation(word, rest)
        elif equals:
            self._note(option, name, text)
        elif _has_no_value(option):
            self._note(option, name, None)
        else:
            self._note(option, name, self._next(rest, name, word))

    def _negation(self, word: str, rest: Iterator[str]) -> None:
        """Read `--not-NAME`, for which there is no option."""
        name, equals, text = word.partition("=")
        positive = name.removeprefix(NEGATION)
        option = self._options.get(f"--{positive}")
        known = option is not None and positive in FILTER_KEYS and name.startswith(NEGATION)
        if option is None or not known or self._strict:
            if self._strict:
                if name.startswith("---") or name == "--":
                    raise click.UsageError(f"bad flag syntax: {word}")
                raise click.UsageError(f"unknown flag: {name}")
            raise click.NoSuchOption(name, possibilities=_similar(name, self._options))
        if not equals:
            text = BARE if _has_no_value(option) else self._next(rest, name, name)
        self._words.flags.append((name.removeprefix("--"), text))

    def _short(self, word: str, rest: Iterator[str]) -> None:
        """Read `-f`, `-f=false`, `-n shop`, `-nshop` and several in one word, such as `-46`."""
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            option = self._options.get(f"-{letter}")
            if option is None:
                if self._strict:
                    raise click.UsageError(
                        f"unknown shorthand flag: '{letter}' in -{letter}{letters}"
                    )
                raise click.NoSuchOption(f"-{letter}")
            name = f"-{letter}"
            if letters.startswith("=") and len(letters) > 1:
                self._note(option, name, letters[1:])
                return
            if _has_no_value(option):
                self._note(option, name, None)
                continue
            wrong = f"'{letter}' in -{letter}{letters}"
            self._note(option, name, letters or self._next(rest, name, wrong))
            return

    def _next(self, rest: Iterator[str], name: str, shown: str) -> str:
        word = next(rest, None)
        if word is None:
            if self._strict:
                raise click.UsageError(f"flag needs an argument: {shown}")
            raise click.BadOptionUsage(name, f"{name} needs a value; put it behind")
        return word

    def _note(self, option: click.Option, name: str, text: str | None) -> None:
        """Keep one flag, in the form that click's own parser would have left."""
        words, key = self._words, str(option.name)
        long_name = next((opt for opt in option.opts if opt.startswith("--")), option.opts[0])
        words.flags.append((long_name.removeprefix("--"), BARE if text is None else text))
        words.order.append(option)
        words.texts[key] = BARE if text is None else text
        if option.count:
            words.values[key] = words.values.get(key, 0) + 1
        elif option.is_flag:
            value: Any = option.flag_value
            if option.is_bool_flag:
                value = self._boolean(option, text) is not (name in option.secondary_opts)
            words.values[key] = value
        elif option.multiple:
            words.values.setdefault(key, []).append(text)
        else:
            words.values[key] = text

    def _boolean(self, option: click.Option, text: str | None) -> bool:
        if text is None:
            return True
        if not self._strict:
            return boolean(text, option.opts[-1])
        try:
            return parse_bool(text)
        except InvalidRequest as error:
            raise click.UsageError(_invalid(option, text, str(error))) from error


def boolean(text: str, name: str) -> bool:
    """Read a boolean as click does, which takes more words for it than Go.

    Args:
        text: What was given.
        name: The flag, for the message.

    Raises:
        click.UsageError: It is none.
    """
    value = click.types.BoolParamType.str_to_bool(text)
    if value is None:
        raise click.UsageError(f"{name} takes true or false, not {text!r}")
    return value


def _has_no_value(option: click.Option) -> bool:
    return option.is_flag or option.count


def _take_arguments(parameters: Iterable[click.Parameter], words: _Words) -> list[str]:
    """Give the loose words to the arguments of the command, and say which are left."""
    loose = words.loose
    for parameter in parameters:
        if isinstance(parameter, click.Argument) and loose:
            several = parameter.nargs != 1
            words.values[str(parameter.name)] = tuple(loose) if several else loose[0]
            words.order.append(parameter)
            loose = [] if several else loose[1:]
    return loose


def _invalid(parameter: click.Parameter, text: str, reason: str) -> str:
    """Word an error as `hubble` does."""
    names = ", ".join(sorted(parameter.opts, key=len))
    return f"invalid argument {quote(text)} for {quote(names)} flag: {reason}"


def _similar(name: str, options: Iterable[str]) -> list[str]:
    from difflib import get_close_matches  # noqa: PLC0415 - only for an error

    return get_close_matches(name, list(options))
