"""Desired state -> actual state: deploy, reconcile, roll back."""
