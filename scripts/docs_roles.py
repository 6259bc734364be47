"""Docstrings name objects by Sphinx's roles, such as ``:class:`X```: on the site they become links."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`~?([\w.]+)`")
OWN = "wsvad_lightning"


class Roles(griffe.Extension):
    """Turns roles into cross-references where they name an object of the package, else into code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of an object, once its scope is known."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(lambda role: linked(role[1], obj), obj.docstring.value)


def linked(name: str, scope: griffe.Object) -> str:
    """A link to what a name means in a scope; code where the site does not show that."""
    try:
        path = name if name.startswith(OWN) else scope.resolve(name)
    except griffe.NameResolutionError:
        return f"`{name}`"
    return f'<autoref identifier="{path}" optional><code>{name}</code></autoref>'
