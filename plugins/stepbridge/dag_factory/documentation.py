"""What Airflow's page shows about a model: its card as a table, and its README."""

from pathlib import Path

from stepbridge.core.model_card import ModelCard

# Shown by Airflow itself, or in the form.
_SHOWN_ELSEWHERE = {"name", "description", "owner", "tags", "schedule", "start_date", "end_date", "catchup"}


def documentation(card: ModelCard, project_root: Path) -> str:
    """The DAG's page in Markdown. The model's README is that of its container folder, or else of its scripts folder."""
    rows = {key: value for key, value in card.model_dump(mode="json").items() if key not in _SHOWN_ELSEWHERE}
    rows["container"] = f"none, but {card.image}" if card.image else card.container_folder
    rows["scripts"] = card.scripts_folder
    table = [f"| {key} | {_cell(value)} |" for key, value in rows.items() if value not in (None, {}, [])]
    declared = f"Declared by the model card `dags/models/{card.name}.yaml`:"
    warning = f"**{card.date_warning}**\n" if card.date_warning else ""
    head = [card.description, "", warning, declared, "", "| key | value |", "|---|---|"]
    return "\n".join([*head, *table, "", _readme(card, project_root)]).strip() + "\n"


def _cell(value: object) -> str:
    """The value as code in a table's cell, where a bar would end the cell."""
    match value:
        case dict():
            text = ", ".join(f"{key}={item}" for key, item in value.items())
        case list():
            text = ", ".join(map(str, value))
        case _:
            text = str(value)
    return f"`{text}`".replace("|", "\\|").replace("\n", " ")


def _readme(card: ModelCard, project_root: Path) -> str:
    for folder in (card.container_folder, card.scripts_folder):
        path = project_root / folder / "README.md"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return ""
