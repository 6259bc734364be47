"""The site is built without a warning, asks for nothing from another machine, and shows what is public."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[1]
LOADED = re.compile(r"""<(?:(?:script|img|iframe)\b[^>]*\bsrc|link\b[^>]*\bhref)=["']?([^"'\s>]+)""")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("site")
    return load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder))


@pytest.fixture(scope="module")
def hook(config: Any) -> Any:
    return config.hooks["scripts/docs_site.py"]


@pytest.fixture(scope="module")
def site(config: Any) -> Path:
    build(config)
    return Path(config.site_dir)


def test_every_page_of_the_repository_is_on_the_site(site: Path, hook: Any) -> None:
    docs = ROOT / "docs"
    pages = [path.relative_to(docs).with_suffix(".html") for path in docs.rglob("*.md")]
    scripts = [f"notebooks/{path.stem}.html" for path in (ROOT / "notebooks").glob("*.py")]
    made = [page.replace(".md", ".html") for page in hook.OF_THE_ROOT.values()]
    assert len(pages) > 40
    assert [name for name in (*pages, *scripts, *made) if not (site / name).is_file()] == []


def test_pages_load_nothing_from_another_machine(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = LOADED.findall(page.read_text("utf-8"))
        assert len(loaded) > 3
        assert [name for name in loaded if "//" in name] == [], page.name


def of_module(entry: object) -> str:
    """Where an object is defined; data is defined nowhere."""
    return getattr(entry, "__module__", "")


def test_what_a_module_offers_is_in_its_reference(site: Path) -> None:
    for page in (site / "api").glob("*.html"):
        module = importlib.import_module(f"wsvad_lightning.{page.stem}")
        anchors = set(re.findall(r'id="([\w.]+)"', page.read_text("utf-8")))
        mine = {name for name, entry in vars(module).items() if of_module(entry) == module.__name__}
        public = getattr(module, "__all__", [name for name in mine if not name.startswith("_")])
        assert public
        assert {f"{module.__name__}.{name}" for name in public} <= anchors


def test_roles_of_docstrings_are_links(site: Path) -> None:
    text = (site / "api" / "methods.base.html").read_text("utf-8")
    assert 'href="#wsvad_lightning.methods.base.WSVADModule"><code>WSVADModule</code></a>' in text
    assert ":class:" not in text


@pytest.mark.parametrize(
    ("target", "source", "here", "linked"),
    [
        ("docs/data.md", "README.md", "index.md", "data.md"),
        ("CONTRIBUTING.md", "README.md", "index.md", "contributing.md"),
        ("../../README.md", "docs/methods/rtfm.md", "methods/rtfm.md", "../index.md"),
        ("../docs/maps.png", "notebooks/train.py", "notebooks/train.md", "../maps.png"),
        ("notebooks/train.py", "README.md", "index.md", "notebooks/train.md"),
        ("urdmu.png", "docs/methods/urdmu.md", "methods/urdmu.md", "urdmu.png"),
    ],
)
def test_links_lead_to_pages(target: str, source: str, here: str, linked: str, hook: Any) -> None:
    assert hook.relinked(target, source, here) == linked
