"""A stand-in for Amazon Bedrock: its wire, its checks and its errors, with the simulator's words behind them. What AWS
does beside that it cannot know: it is made from botocore's service model and AWS's documentation."""
