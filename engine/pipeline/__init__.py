"""A compress job from its first step to its report."""
