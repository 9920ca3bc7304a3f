"""What scaling rules do with a trace, in virtual time: traces, rules, the world they act in, and the report."""
