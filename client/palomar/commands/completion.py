"""`palomar completion`: the script that lets a shell complete commands, flags and their values."""

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, /, *, shell: str) -> None:
    """Print the script that completes commands, flags and values in a shell.

    \b
      bash:  source <(palomar completion bash)          in ~/.bashrc
      zsh:   source <(palomar completion zsh)           in ~/.zshrc
      fish:  palomar completion fish > ~/.config/fish/completions/palomar.fish
    """  # noqa: D301 - click looks for the backspace character
    from click.shell_completion import ShellComplete, get_completion_class  # noqa: PLC0415 - rare

    script = get_completion_class(shell)
    assert script is not None  # noqa: S101 - click knows these three
    root = ctx.find_root()
    complete = script(root.command, {}, "palomar", "_PALOMAR_COMPLETE")
    # Not through the class itself: for bash it would ask a bash for its version, which may not be
    # the one that the script is for, or not be there.
    click.echo(ShellComplete.source(complete))
