"""Pure decisions: (snapshot, policy, now) -> decision. No clock, socket or database."""
