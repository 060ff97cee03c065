"""Settings of the installation: environment over YAML over defaults, frozen, an unknown key is an error.

    SPLAT__HOME=/data/splat  SPLAT__RECIPE__DETAIL=preview  SPLAT_CONFIG=/etc/splat.yaml

Read by ``definitions`` and ``cli`` only. What a single job may override stands under ``recipe``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.recipe import Recipe

Folder = Literal["inbox", "processed", "errors", "delivered", "store", "dagster"]
PREFIX, NESTED, CONFIG = "SPLAT__", "__", "SPLAT_CONFIG"


class Settings(BaseSettings):
    """Where things lie and how the installation behaves."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=NESTED, frozen=True, extra="forbid")

    home: Path = Field(Path("~/splat"), description="everything below lies here unless set apart")
    inbox: Path | None = Field(None, description="dropped uploads; default <home>/inbox")
    processed: Path | None = Field(None, description="uploads whose job succeeded; default <home>/processed")
    errors: Path | None = Field(None, description="uploads whose job failed, with reason.json; default <home>/error")
    delivered: Path | None = Field(None, description="results; default <home>/delivered")
    stable_s: float = Field(30.0, ge=0, description="an upload is complete after this long without a change")
    poll_s: int = Field(10, ge=5, description="how often the inbox is looked at")
    executor: Literal["multiprocess", "in_process"] = Field(
        "multiprocess", description="where steps run; the CLI uses in_process"
    )
    training_pool: Literal["auto", "gpu", "train_cpu"] = Field(
        "auto", description="Dagster pool of trainings; auto: gpu on a machine with an NVIDIA GPU, else train_cpu"
    )
    recipe: Recipe = Field(Recipe(), description="defaults of every job: see the recipe table")

    @classmethod
    def settings_customise_sources(  # pydantic's hook
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        yaml = YamlConfigSettingsSource(settings_cls, yaml_file=os.environ.get(CONFIG))
        return init_settings, env_settings, yaml

    def folder(self, name: Folder) -> Path:
        """Return one of the folders, absolute."""
        base = self.home.expanduser().absolute()
        chosen: Path | None = getattr(self, name, None)
        default = base / ("error" if name == "errors" else name)
        return chosen.expanduser().absolute() if chosen else default


def load() -> Settings:
    """Read the settings. Raises ``BadJobFile`` that names the first wrong or unknown key."""
    source = os.environ.get(CONFIG, "environment")
    if CONFIG in os.environ and not Path(source).is_file():
        raise BadJobFile(f"{CONFIG} names {source}, which is not a file", file=source)
    for variable in os.environ:
        name = variable.removeprefix(PREFIX).split(NESTED, maxsplit=1)[0].lower()
        if variable.startswith(PREFIX) and name not in Settings.model_fields:
            known = ", ".join(Settings.model_fields)
            raise BadJobFile(f"{variable}: unknown setting, known are {known}", file=variable)
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadJobFile(f"{source}: {key}: {first['msg']} (got {first['input']!r})", file=source) from None
