"""What an execution did: the run report, its timeline, and the text about its failure.

Pure: the input is boto3's responses as they are, and ``now`` is the time.
"""
