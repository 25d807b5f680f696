"""Reading settings from variables and flags, under their present or their former names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_settings import BaseSettings, EnvSettingsSource

from poster_service.settings.names import (
    RENAMED,
    flag_of,
    is_service_link,
    unknown_variables,
    variable_of,
)


@dataclass
class Given:
    """What the operator set, before its values are checked.

    Attributes:
        values: Value by the present name of its setting.
        sources: For each of them the variable or flag that it comes from.
        warnings: A sentence for each former name.
        faults: What is wrong with the names alone: unknown ones, and a setting given twice.
    """

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Variables(EnvSettingsSource):
    """The environment variables of a mapping, which in tests is not that of the process."""

    def __init__(self, settings_class: type[BaseSettings], variables: Mapping[str, str]) -> None:
        super().__init__(settings_class)
        # pydantic-settings looks variables up in lower case; which of them are ours, in their one
        # spelling, was decided before.
        self.env_vars = {name.lower(): value for name, value in variables.items()}


def gather(
    settings_class: type[BaseSettings],
    environ: Mapping[str, str],
    flags: Mapping[str, str | None],
) -> Given:
    """Collect what is set; a flag wins over a variable, and a flag that is None was not given."""
    given = Given()
    names = settings_class.model_fields
    ours = {name: value for name, value in environ.items() if not is_service_link(name, value)}
    given.faults += unknown_variables(ours, names)
    by_variable = {
        name: ours[variable_of(name)] for name in (*names, *RENAMED) if variable_of(name) in ours
    }
    by_flag = {name: value for name, value in flags.items() if value is not None}
    for texts, spelled in ((by_variable, variable_of), (by_flag, flag_of)):
        current: dict[str, str] = {}
        for name, text in texts.items():
            present = RENAMED.get(name, name)
            if name != present:
                _note_former_name(given, spelled(name), spelled(present), present in texts)
            current[present] = text
            given.sources[present] = spelled(name)
        if spelled is variable_of:
            variables = {variable_of(name): text for name, text in current.items()}
            given.values.update(Variables(settings_class, variables)())
        else:
            given.values.update(current)
    return given


def note_former_levels(given: Given) -> None:
    """Take renders per Chrome without a level as earlier releases did, with a warning.

    They knew no levels: more than one render for each Chrome meant `context` for all.
    """
    count, levels = given.values.get("renders_per_chrome"), ("isolation", "template_isolation")
    is_shared = str(count or "").strip().isdecimal() and int(str(count)) > 1
    if not is_shared or any(level in given.values for level in levels):
        return
    given.values.update(dict.fromkeys(levels, "context"))
    given.warnings.append(
        f"{given.sources['renders_per_chrome']} is given and no isolation level; that means"
        " POSTER_ISOLATION=context and POSTER_TEMPLATE_ISOLATION=context until the next release,"
        " where the level must be named"
    )


def _note_former_name(given: Given, former: str, present: str, both: bool) -> None:
    if both:
        given.faults.append(
            f"{former}: {present} is set too; remove {former}, the former name of the same setting"
        )
    given.warnings.append(
        f"{former} is now called {present}; the former name will be refused by the next release"
    )
