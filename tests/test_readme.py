"""What the README can get from the code is what the code says. `make readme` writes it anew."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from splat_pipeline.cli import app
from splat_pipeline.definitions import build
from splat_pipeline.domain.quality import LIMITS
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.settings import Settings

VERBS = typer.main.get_command(app).commands
README = Path(__file__).resolve().parents[1] / "README.md"
GATES = README.parent / "docs" / "gates.md"


def asset_table() -> str:
    graph = build(Settings(home=Path("/nowhere"))).resolve_asset_graph()
    rows = ["| asset | what it is | gates |", "|---|---|---|"]
    for level in graph.toposorted_asset_keys_by_level:
        for key in sorted(level):
            node = graph.get(key)
            what = " ".join((node.description or "").split("\n\n")[0].split())
            gates = f"[{len(node.check_keys)}](docs/gates.md)" if node.check_keys else ""
            rows.append(f"| `{key.to_user_string()}` | {what} | {gates} |")
    return "\n".join(rows)


def settings_table() -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel) and name != "recipe":
            rows += _recipe_rows(type(field.default), f"SPLAT__{name.upper()}")
        elif name != "recipe":
            rows.append(f"| `SPLAT__{name.upper()}` | `{_plain(field.default)}` | {field.description} |")
    return "\n".join([*rows, *_recipe_rows(Recipe, "SPLAT__RECIPE")])


def _plain(value: object) -> object:
    """Return tables of rules as JSON, without what has no limit."""
    if not isinstance(value, dict):
        return value
    return json.dumps({key: each.model_dump(exclude_none=True) for key, each in value.items()})


def _recipe_rows(model: type[BaseModel], prefix: str) -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        variable = f"{prefix}__{name.upper()}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            rows += _recipe_rows(field.annotation, variable)
        else:
            rows.append(f"| `{variable}` | `{field.default}` | {field.description} |")
    return rows


def gates_table() -> str:
    rows = ["| gate | stage | metric | limit | by scene | else | class |", "|---|---|---|---|---|---|---|"]
    for gate, limit in LIMITS.items():
        scenes = ", ".join(f"{scene} {number:g}" for scene, number in limit.scenes.items())
        follows = "ERROR" if limit.severity == "ERROR" else f"WARN: {limit.lowers_to or 'told'}"
        bound = f"{limit.relation} {limit.bound:g}"
        about = f"`{gate}` | `{limit.stage}` | `{limit.metric}` | {bound} | {scenes}"
        rows.append(f"| {about} | {follows} | {limit.error.__name__} |")
    return "\n".join(rows)


def verbs_table() -> str:
    rows = ["| command | what it does |", "|---|---|"]
    for name, command in VERBS.items():
        rows.append(f"| `splat {name}` | {(command.help or '').splitlines()[0]} |")
    return "\n".join(rows)


@pytest.mark.parametrize("table", [asset_table, settings_table, verbs_table, gates_table])
def test_the_table_in_the_readme_is_what_the_code_says(table):
    page = GATES if table is gates_table else README
    name, text = table.__name__, page.read_text()
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    assert block.search(text), f"{page.name} lacks the block {name}"
    wanted = block.sub(lambda m: m[1] + table() + "\n" + m[2], text)
    if os.environ.get("SPLAT_WRITE_README"):
        page.write_text(wanted)
    assert page.read_text() == wanted, "run make readme"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str):
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output
