"""Fields for Gotenberg's PDF engines, which are not here: none of them is silently left out."""

from collections.abc import Callable, Mapping

from poster_service.errors import Fault, InvalidField
from poster_service.web.compat.gotenberg import values
from poster_service.web.compat.gotenberg.form import ENGINE_FIELDS, Form


class NotHere(InvalidField):
    """The request asks for what Gotenberg has and this service has not."""


def _is_given(text: str) -> bool:
    return bool(text)


def _is_denied(text: str) -> bool:
    return not values.boolean(text)


#: Whether a field asks for something, by its name.
ASKS: Mapping[str, Callable[[str], bool]] = {
    "pdfa": _is_given, "pdfua": values.boolean, "splitMode": _is_given, "splitSpan": _is_given,
    "splitUnify": values.boolean, "userPassword": _is_given, "ownerPassword": _is_given,
    "allowPrinting": _is_denied, "allowCopying": _is_denied, "allowModifying": _is_denied,
    "allowAnnotating": _is_denied, "allowFillingForms": _is_denied,
    "allowAssembling": _is_denied, "embedsMetadata": _is_given, "watermarkSource": _is_given,
    "watermarkExpression": _is_given, "stampSource": _is_given, "stampExpression": _is_given,
    "rotateAngle": _is_given, "optimizeImages": values.boolean, "imageQuality": _is_given,
    "facturxConformanceLevel": _is_given, "facturxDocumentType": _is_given,
    "facturxVersion": _is_given,
}  # fmt: skip


def refuse(form: Form) -> None:
    """Refuse a form that asks something of a PDF engine.

    Raises:
        NotHere: With the name of the field.
        InvalidField: The value of such a field is none.
    """
    for name, asks in ASKS.items():
        text = form.values.get(name, "")
        try:
            if text and asks(text):
                raise _not_here(name)
        except ValueError as error:
            raise InvalidField.of(Fault(name, str(error))) from error
    for name in ENGINE_FIELDS:
        if name in form.fields:
            raise _not_here(name)


def _not_here(name: str) -> NotHere:
    return NotHere.of(
        Fault(
            "",
            f"form field '{name}' needs Gotenberg's PDF engines, which this service does not have",
        )
    )
