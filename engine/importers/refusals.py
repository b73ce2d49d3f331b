"""The two answers to a model that cannot be read: its file is at fault, or one of its layers is not translated."""

from secateur.errors import FieldError, ModelClassRefused, ModelUnreadable

RESAVE = 'Save the whole model again: model.save("model.keras"), or model.save("model.h5") in old Keras.'


def unreadable(detail: str, *suggestions: str) -> ModelUnreadable:
    """The file is damaged, or is not what its name says."""
    return ModelUnreadable(detail, suggestions=suggestions or (RESAVE,))


def untranslated(layer: str, what: str, why: str) -> ModelClassRefused:
    """A layer of an old model that has no faithful counterpart in Keras 3."""
    return ModelClassRefused(
        f"Layer {layer[:80]!r} uses {what[:120]}, which is not translated to Keras 3: {why[:300]}.",
        errors=[FieldError(field=layer[:256] or "model", messages=(f"uses {what[:120]}",))],
        suggestions=["Rebuild that part from layers of Keras 3, or cut it off, and save the model again."],
    )
