"""`subsecond verify`: whether a deployed stack does what it should. Run it behind `sam deploy`; docs/verify.md.

`command` is the face, `order` says which checks there are, `checks/` has them. A check sees the account and the
functions' URLs through `ports` alone; `account` and `https` are what stands behind them.
"""
