# pragma version ~=0.4.3
"""
@title The part of Multicall3 that reads: several calls in one, each of which may fail alone
"""

struct Call3:
    target: address
    allowFailure: bool
    callData: Bytes[260]

struct Result:
    success: bool
    returnData: Bytes[512]


@external
@view
def getCurrentBlockTimestamp() -> uint256:
    return block.timestamp


@external
@view
def aggregate3(calls: DynArray[Call3, 64]) -> DynArray[Result, 64]:
    results: DynArray[Result, 64] = []
    for each: Call3 in calls:
        success: bool = False
        returned: Bytes[512] = b""
        success, returned = raw_call(
            each.target, each.callData, max_outsize=512, is_static_call=True, revert_on_failure=False
        )
        assert success or each.allowFailure, "Multicall3: call failed"
        results.append(Result(success=success, returnData=returned))
    return results
