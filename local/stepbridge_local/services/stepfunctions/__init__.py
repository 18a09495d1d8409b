"""Step Functions: ``jsonata`` evaluates queries, ``program_run`` is what a redrive continues; ``moto`` has the rest,
as moto's interpreter runs the state machines.
"""
