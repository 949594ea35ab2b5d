"""`study methods`: list the parts that a method is made of."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from study.gan.member import Member, Option
    from study.gan.networks.architecture import Architecture

app = typer.Typer()


@app.command(epilog="Example: `study methods --sizes`")
def methods(
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Also show the number of parameters of each architecture.")
    ] = False,
) -> None:
    """List the architectures, losses, normalizations, penalties and constraints, with their sources and options."""
    from study.core.trial import option_word
    from study.gan import optimizers
    from study.gan.architectures import ARCHITECTURES, parameter_counts
    from study.gan.methods.menu import MENUS

    def show(options: "Mapping[str, Option]", indent: str) -> None:
        for name, option in options.items():
            value = f"{name}={option_word(option.default)}"
            print(f"{indent}--option {value}: {option.description}; {option.allowed}")

    menus: dict[str, Mapping[str, Architecture | Member[Any]]] = {"architecture": ARCHITECTURES, **MENUS}
    for title, menu in menus.items():
        print(f"--{title}")
        for name, member in sorted(menu.items()):
            print(f"    {name}: {member.description}")
            show(member.options, "        ")
    print("every method")
    show(optimizers.OPTIONS, "    ")
    if sizes:
        print("parameters at width 64, RGB:")
        print(f"    {'architecture':14} {'px':>4} {'G':>10} {'D':>10}")
        for name, architecture in sorted(ARCHITECTURES.items()):
            for resolution in architecture.study_sizes:
                generator, discriminator = parameter_counts(name, resolution)
                print(f"    {name:14} {resolution:4} {generator:10} {discriminator:10}")
