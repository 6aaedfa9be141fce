"""What the engine refuses."""

from infra.runtime.errors import BallastError


class RiskInputError(BallastError):
    """Input that no estimate can rest on; the message names what is wrong with it."""

    code = "risk_input_invalid"
