# pragma version ~=0.4.3
"""
@title Writes rounds of several aggregators in one transaction
"""

interface Aggregator:
    def transmit(answer: int256, updated_at: uint256): nonpayable

struct Update:
    aggregator: address
    answer: int256
    updatedAt: uint256

_owner: immutable(address)


@deploy
def __init__():
    _owner = msg.sender


@external
def transmit(updates: DynArray[Update, 64]):
    assert msg.sender == _owner, "only the owner"
    for update: Update in updates:
        extcall Aggregator(update.aggregator).transmit(update.answer, update.updatedAt)
