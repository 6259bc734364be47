"""What mkdocs.yml leaves open: pages made from other files, and links between pages."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OF_THE_ROOT = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
FOLDERS = {"methods/": "docs/methods/*.md", "notebooks/": "notebooks/*.py"}  # the navigation lists all
LINK = re.compile(r"(?<=\]\()([^)\s:#]+\.(?:md|png|py))")


def on_config(config: MkDocsConfig) -> None:
    """Put the pages of a folder where the navigation names the folder."""
    config.nav = filled(config.nav)


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are not files under docs/."""
    for source, page in OF_THE_ROOT.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for script in sorted(ROOT.glob(FOLDERS["notebooks/"])):
        text = jupytext.writes(jupytext.read(script), "md")
        files.append(File.generated(config, f"notebooks/{script.stem}.md", content=text))
    for page in pages(config.nav):
        if page.startswith("api/"):
            module = page.removeprefix("api/").removesuffix(".md")
            text = f"---\ntitle: {module}\n---\n\n::: wsvad_lightning.{module}\n"
            files.append(File.generated(config, page, content=text))


def on_page_markdown(markdown: str, page: Page, **kwargs: Any) -> str:
    """Lead links to where their targets are on the site; on a code host they lead to files."""
    here = page.file.src_uri
    source = next((name for name, made in OF_THE_ROOT.items() if made == here), f"docs/{here}")
    return LINK.sub(lambda link: relinked(link[1], source, here), markdown)


def relinked(target: str, source: str, here: str) -> str:
    """A link of a file of the repository, as the page made from it needs it."""
    named = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    page = OF_THE_ROOT.get(named, named.removeprefix("docs/"))
    page = re.sub(r"^(notebooks/\w+)\.py$", r"\1.md", page)
    return posixpath.relpath(page, posixpath.dirname(here) or ".")


def filled(nav: Any) -> Any:
    """A navigation whose folders are replaced by their pages."""
    if isinstance(nav, dict):
        return {title: filled(entry) for title, entry in nav.items()}
    if isinstance(nav, list):
        return [filled(entry) for entry in nav]
    if nav in FOLDERS:
        return [f"{nav}{path.stem}.md" for path in sorted(ROOT.glob(FOLDERS[nav]))]
    return nav


def pages(nav: Any) -> Iterator[str]:
    """Every page of a navigation."""
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages(entry)
