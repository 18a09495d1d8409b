"""``stepbridge deploy``: a plan is computed from what is there, then carried out or only printed.

``_deploy`` takes a snapshot of the stack, ``_plan`` computes the steps from it, and ``_stack_changer`` carries them
out. ``_template`` packages infra/stack.yaml with the state machine's definition.
"""

from stepbridge.deployment._deploy import DEFAULT_STACK_NAME, StackDeployer, deployment_of

__all__ = ["DEFAULT_STACK_NAME", "StackDeployer", "deployment_of"]
