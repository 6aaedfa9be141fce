# pragma version ~=0.4.3
"""
@title One phase of a price feed, as AggregatorV3Interface shows it
@notice A round that does not exist reads as zeros, as Chainlink's off-chain reporting aggregators give it.
"""

struct Transmission:
    answer: int256
    updatedAt: uint256

decimals: public(immutable(uint8))
version: public(constant(uint256)) = 4
description: public(String[64])
latestRound: public(uint256)
_transmitter: immutable(address)
_transmissions: HashMap[uint80, Transmission]


@deploy
def __init__(transmitter: address, feed_decimals: uint8, feed_description: String[64]):
    _transmitter = transmitter
    decimals = feed_decimals
    self.description = feed_description


@external
def transmit(answer: int256, updated_at: uint256):
    assert msg.sender == _transmitter, "only the transmitter"
    self.latestRound += 1
    self._transmissions[convert(self.latestRound, uint80)] = Transmission(answer=answer, updatedAt=updated_at)


@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    return self._round(convert(self.latestRound, uint80))


@external
@view
def getRoundData(round_id: uint80) -> (uint80, int256, uint256, uint256, uint80):
    return self._round(round_id)


@internal
@view
def _round(round_id: uint80) -> (uint80, int256, uint256, uint256, uint80):
    found: Transmission = self._transmissions[round_id]
    return round_id, found.answer, found.updatedAt, found.updatedAt, round_id
