"""The architectures: one file each; the folder listing is the menu."""

import importlib
import pkgutil

from study.gan.architectures.architecture import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    module.name: importlib.import_module(f"{__name__}.{module.name}").ARCHITECTURE
    for module in pkgutil.iter_modules(__path__)
    if module.name != "architecture"
}
