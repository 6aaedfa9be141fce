# pragma version ~=0.4.3
"""
@title The fixed address of a price feed, in front of one aggregator a phase
@notice Round ids carry the phase above 64 bits of the aggregator's own round.
"""

interface Aggregator:
    def latestRoundData() -> (uint80, int256, uint256, uint256, uint80): view
    def getRoundData(round_id: uint80) -> (uint80, int256, uint256, uint256, uint80): view
    def decimals() -> uint8: view
    def description() -> String[64]: view
    def version() -> uint256: view

phaseId: public(uint16)
phaseAggregators: public(HashMap[uint16, address])
_owner: immutable(address)


@deploy
def __init__(first_aggregator: address, first_phase: uint16):
    _owner = msg.sender
    self.phaseId = first_phase
    self.phaseAggregators[first_phase] = first_aggregator


@external
def setAggregator(aggregator: address):
    assert msg.sender == _owner, "only the owner"
    self.phaseId += 1
    self.phaseAggregators[self.phaseId] = aggregator


@external
@view
def aggregator() -> address:
    return self.phaseAggregators[self.phaseId]


@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    return self._read(self.phaseId, 0, True)


@external
@view
def getRoundData(round_id: uint80) -> (uint80, int256, uint256, uint256, uint80):
    wide: uint256 = convert(round_id, uint256)
    return self._read(convert(wide >> 64, uint16), convert(wide & (2**64 - 1), uint80), False)


@external
@view
def decimals() -> uint8:
    return staticcall Aggregator(self.phaseAggregators[self.phaseId]).decimals()


@external
@view
def description() -> String[64]:
    return staticcall Aggregator(self.phaseAggregators[self.phaseId]).description()


@external
@view
def version() -> uint256:
    return staticcall Aggregator(self.phaseAggregators[self.phaseId]).version()


@internal
@view
def _read(phase: uint16, wanted: uint80, is_latest: bool) -> (uint80, int256, uint256, uint256, uint80):
    source: address = self.phaseAggregators[phase]
    assert source != empty(address), "No data present"
    round_id: uint80 = 0
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint80 = 0
    if is_latest:
        round_id, answer, started_at, updated_at, answered_in = staticcall Aggregator(source).latestRoundData()
    else:
        round_id, answer, started_at, updated_at, answered_in = staticcall Aggregator(source).getRoundData(wanted)
    return self._with_phase(phase, round_id), answer, started_at, updated_at, self._with_phase(phase, answered_in)


@internal
@pure
def _with_phase(phase: uint16, round_id: uint80) -> uint80:
    return convert((convert(phase, uint256) << 64) | convert(round_id, uint256), uint80)
