"""What only a person knows of a piece, for its page."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Person:
    """What only a person knows; a text that is empty is still to be written.

    Attributes:
        hub_tasks: a JSON list of TensorFlow Hub's task ids.
    """

    description: str
    intended_use: str
    limitations: str
    training_data: str
    license_id: str
    hub_tasks: str

    @property
    def unsaid(self) -> list[str]:
        """The recipe's entries that are still to be written."""
        texts = ("description", "intended_use", "limitations", "training_data")
        missing = [f"documentation.{name}" for name in texts if not getattr(self, name)]
        return missing if self.license_id else [*missing, "documentation.license"]

    @property
    def provisional(self) -> "Person":
        """The same with words in place of what is not written: a run comes to its verdict without it."""
        stand_in = "Not written yet."
        return replace(
            self,
            description=self.description or stand_in,
            intended_use=self.intended_use or stand_in,
            limitations=self.limitations or stand_in,
            training_data=self.training_data or stand_in,
            license_id=self.license_id or "custom",
        )
