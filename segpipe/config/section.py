"""What all sections of the config share."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MonaiTransform(Section):
    """Any MONAI transform by class name, with its arguments: ``{name: RandFlipd, prob: 0.5}``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="class name in monai.transforms, a dictionary transform (ends in d)")

    @property
    def arguments(self) -> dict[str, Any]:
        """The transform's keyword arguments."""
        return dict(self.__pydantic_extra__ or {})
