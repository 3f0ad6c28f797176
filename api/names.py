"""The names in addresses. What could not be a name is a thing that there is not, so that it is answered with 404."""

from typing import Annotated, Final

from fastapi import Path, Query

_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

AwardName = Annotated[str, Path(alias="award", pattern=_NAME, examples=["INDIGO-POJ-0175"])]
ClaimName = Annotated[str, Path(alias="claim", pattern=_NAME, examples=["2021-Q3"])]
RunName = Annotated[str, Path(alias="run", pattern=_NAME, examples=["KIR-2021-11"])]
PayerName = Annotated[str, Path(alias="payer", pattern=_NAME, examples=["GB-LAE-KIR"])]
PayeeName = Annotated[str, Path(alias="payee", pattern=_NAME, examples=["GB-COH-11503344"])]
ClawbackName = Annotated[str, Path(alias="clawback", pattern=_NAME, examples=["CB-2021-1"])]
ReconsiderationName = Annotated[str, Path(alias="reconsideration", pattern=_NAME, examples=["RC-2022-1"])]
OtherPaymentName = Annotated[str, Path(alias="other_payment", pattern=_NAME, examples=["GRANT-2020-05"])]
PartyName = Annotated[str, Path(alias="party", pattern=_NAME, examples=["GB-COH-11503344"])]
PersonName = Annotated[str, Path(alias="person", pattern=_NAME)]
KeyName = Annotated[str, Path(alias="key", pattern=_NAME)]
WebhookName = Annotated[str, Path(alias="webhook", pattern=_NAME, examples=["9f31c0a4b2d87e65"])]
AssessmentNumber = Annotated[int, Path(alias="assessment", ge=1, le=999_999_999)]
VersionNumber = Annotated[int, Path(alias="version", ge=1, le=999_999)]
AskedPayer = Annotated[str | None, Query(pattern=_NAME, description="Of this payer only", examples=["GB-LAE-KIR"])]
AskedAward = Annotated[str | None, Query(pattern=_NAME, description="About this award only", examples=["INDIGO-POJ-0175"])]
AskedPerson = Annotated[str | None, Query(pattern=_NAME, description="To this person only")]
RefusalName = Annotated[str, Path(alias="refusal", pattern=_NAME, examples=["approver-took-part"])]
