"""The members of a distributed Map that moto's grammar does not take, set apart from the definition. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["MapSettings", "is_distributed", "settings_of", "without_settings"]

_TAKEN: Final = frozenset({"ItemBatcher", "ResultWriter"})


@dataclass(frozen=True)
class MapSettings:
    """What a distributed Map reads, batches and writes, as the definition has it, and which tolerances it names."""

    is_jsonata: bool = False
    execution_type: str = "STANDARD"
    reader_config: Mapping[str, Any] = field(default_factory=dict)
    batcher: Mapping[str, Any] | None = None
    writer: Mapping[str, Any] | None = None
    has_count: bool = False
    has_percentage: bool = False


def is_distributed(state: Mapping[str, Any]) -> bool:
    return state.get("Type") == "Map" and _processor_config(state).get("Mode") == "DISTRIBUTED"


def settings_of(state: Mapping[str, Any], query_language: str) -> MapSettings:
    """The settings of a distributed Map state whose machine has ``query_language``."""
    reader = state.get("ItemReader")
    return MapSettings(
        is_jsonata=state.get("QueryLanguage", query_language) == "JSONata",
        execution_type=_processor_config(state).get("ExecutionType", "STANDARD"),
        reader_config=(reader.get("ReaderConfig") if isinstance(reader, Mapping) else None) or {},
        batcher=state.get("ItemBatcher"),
        writer=state.get("ResultWriter"),
        has_count="ToleratedFailureCount" in state or "ToleratedFailureCountPath" in state,
        has_percentage="ToleratedFailurePercentage" in state or "ToleratedFailurePercentagePath" in state,
    )


def without_settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state as moto's grammar takes it. Whole percentages get a fraction."""
    kept = {key: value for key, value in state.items() if key not in _TAKEN}
    percentage = kept.get("ToleratedFailurePercentage")
    if isinstance(percentage, int) and not isinstance(percentage, bool):
        kept["ToleratedFailurePercentage"] = float(percentage)
    for member in ("ItemProcessor", "Iterator"):
        if isinstance(kept.get(member), Mapping):
            config = {"ProcessorConfig": {**_processor_config(state), "ExecutionType": "STANDARD"}}
            kept[member] = {**kept[member], **config}
    if isinstance(kept.get("ItemReader"), Mapping):
        kept["ItemReader"] = {key: value for key, value in kept["ItemReader"].items() if key != "ReaderConfig"}
    return kept


def _processor_config(state: Mapping[str, Any]) -> Mapping[str, Any]:
    processor = state.get("ItemProcessor", state.get("Iterator"))
    config = processor.get("ProcessorConfig") if isinstance(processor, Mapping) else None
    return config if isinstance(config, Mapping) else {}
