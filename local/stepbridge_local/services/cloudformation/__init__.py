"""CloudFormation: stacks and change sets. ``resources`` has one module for each resource type."""
