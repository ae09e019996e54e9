"""What makes an image worth a look."""

from pydantic import Field

from segpipe.config.section import Section


class Checks(Section):
    """What makes an image worth a look: flags in the report, which change no pixel and no score (docs/checks.md)."""

    near_duplicates: int = Field(
        60,
        ge=0,
        le=128,
        description="largest number of different bits, of 256, in the perceptual hashes of near duplicates; "
        "0: look for exact duplicates only",
    )
    near_duplicate_fit: float = Field(
        0.99, ge=0, le=1, description="smallest R2 of one thumbnail fitted to the other that makes them near duplicates"
    )
    polarity: float = Field(
        0.15, ge=0, description="flag polarity where polarity_score is below minus this: the picture looks inverted"
    )
    orientation: float = Field(
        0.2,
        gt=0,
        description="flag orientation where, turned or mirrored, the thumbnail correlates better by this with the "
        "mean of all thumbnails",
    )
    flat: float = Field(0.9, gt=0, le=1, description="flag flat where one grey value fills this share of the picture")
    grey_levels: int = Field(
        16, ge=2, le=256, description="flag few_grey_levels where the picture has fewer of 256, as a mask would"
    )
    clipped: float = Field(
        0.25,
        gt=0,
        le=1,
        description="flag clipped where this share within the field has the darkest or brightest value",
    )
    aspect_ratio: float = Field(
        4.0, ge=1, description="flag aspect_ratio where the longer side is this many times the other"
    )
    tiny: float = Field(0.5, ge=0, description="flag tiny where the longer side is below this times preprocess.size")
    mask_full: float = Field(
        0.9, gt=0, le=1, description="flag mask_full where a class covers this share of the picture"
    )
    mask_outside: float = Field(
        0.05,
        ge=0,
        le=1,
        description="flag mask_outside where more than this share of a mask lies beyond the picture or field",
    )
    mask_area: float = Field(
        6.0, gt=0, description="flag mask_area where the robust z score of a class's area exceeds this"
    )

    def of_duplicates(self) -> "Checks":
        """The keys that decide on duplicates, the others at their defaults: what can stop a run before training."""
        return Checks(near_duplicates=self.near_duplicates, near_duplicate_fit=self.near_duplicate_fit)
