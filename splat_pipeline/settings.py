"""Settings of the installation: environment over YAML over defaults, frozen, an unknown key is an error.

    SPLAT__HOME=/data/splat  SPLAT__RECIPE__DETAIL=preview  SPLAT_CONFIG=/etc/splat.yaml

Read by ``definitions`` and ``cli`` only. What a single job may override stands under ``recipe``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from splat_pipeline.domain.costs import Budget, Prices
from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.retention import STANDARD, KeepRules
from splat_pipeline.domain.room import DiskRules

Spot = Literal["inbox", "processed", "errors", "delivered", "store"]
SCHEMES = ("s3", "az", "abfs", "abfss", "file")
PREFIX, NESTED, CONFIG = "SPLAT__", "__", "SPLAT_CONFIG"


def checked_place(value: object) -> object:
    """Return a path or URL as text. Raises ValueError for one that holds credentials, without repeating them."""
    text = str(value) if isinstance(value, Path) else value
    if isinstance(text, str) and "://" in text:
        parts = urlsplit(text)
        container = parts.scheme in {"abfs", "abfss"} and parts.password is None  # container@account.dfs...
        if parts.query or parts.fragment or (parts.username is not None and not container):
            raise ValueError("a URL holds no credentials: they belong into the environment variables of the store")
        if parts.scheme not in SCHEMES or not parts.netloc:
            raise ValueError(f"a URL begins with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)} and a name")
    return text


Where = Annotated[str, BeforeValidator(checked_place)]
"""A path, or a URL of an object store: s3://bucket/prefix, az://container/prefix, abfs://..."""


class Settings(BaseSettings):
    """Where things lie and how the installation behaves."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=NESTED, frozen=True, extra="forbid")

    home: Where = Field("~/splat", description="everything below lies here unless set apart: a folder, or a URL")
    inbox: Where | None = Field(None, description="dropped uploads; default <home>/inbox")
    processed: Where | None = Field(None, description="uploads whose job succeeded; default <home>/processed")
    errors: Where | None = Field(None, description="uploads whose job failed, with reason.json; default <home>/error")
    delivered: Where | None = Field(None, description="results; default <home>/delivered")
    store: Where | None = Field(None, description="artifacts and tables; default <home>/store")
    local: Path | None = Field(
        None, description="this machine's own: Dagster's home, scratch, copies; default <home>, or ~/splat beside a URL"
    )
    copies_gb: float = Field(20, gt=0, description="copies of artifacts in an object store that are kept, in GB")
    links_s: int | None = Field(
        None,
        ge=60,
        le=604800,
        description="messages hold links into a delivered that is a URL, good for so many seconds",
    )
    webhook: str | None = Field(
        None, description="http(s) address that gets signed messages; SPLAT_WEBHOOK_SECRET holds the secret"
    )
    stable_s: float = Field(30.0, ge=0, description="an upload is complete after this long without a change")
    ui: str = Field("http://127.0.0.1:3000", description="address of Dagster's UI, for links to runs")
    artifact_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="address of `splat artifacts`, for links to reports, films and viewers; none: no links",
        validation_alias=AliasChoices("SPLAT__ARTIFACT_URL", "SPLAT_ARTIFACT_URL", "artifact_url"),
    )
    poll_s: int = Field(10, ge=5, description="how often the inbox is looked at")
    executor: Literal["multiprocess", "in_process"] = Field(
        "multiprocess", description="where steps run; the CLI uses in_process"
    )
    training_pool: Literal["auto", "gpu", "train_cpu"] = Field(
        "auto", description="Dagster pool of trainings; auto: gpu on a machine with an NVIDIA GPU, else train_cpu"
    )
    retention: dict[str, KeepRules] = Field(
        {STANDARD: KeepRules()},
        description="by product class: uploads, intermediates, checkpoints, packages; each "
        "with days and gigabytes; classes without rules follow standard",
    )
    retention_cron: str = Field("17 3 * * *", description="when what has had its time is removed")
    disk: DiskRules = Field(DiskRules(), description="when new runs wait for room")
    prices: Prices = Field(Prices(), description="what the machine costs")
    budgets: dict[str, Budget] = Field(
        {},
        description="by product class: hours or price that its jobs may take within days, and warn_at, a share of it",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="least level of the JSON lines that runs of uploads log"
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

    def place(self, name: Spot) -> str:
        """Return the absolute path, or the URL, of one of the places."""
        chosen: str | None = getattr(self, name)
        default = f"{str(self.home).rstrip('/')}/{'error' if name == 'errors' else name}"
        text = str(chosen or default)
        return text.rstrip("/") if "://" in text else str(Path(text).expanduser().absolute())

    def folder(self, name: Literal["dagster", "work", "sample"]) -> Path:
        """Return one of the folders of this machine, absolute."""
        home = "~/splat" if "://" in str(self.home) else self.home
        return Path(self.local or home).expanduser().absolute() / name


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
        got = "" if "://" in str(first["input"]) else f" (got {first['input']!r})"  # it may hold a password
        raise BadJobFile(f"{source}: {key}: {first['msg']}{got}", file=source) from None
