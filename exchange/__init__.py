"""An exchange for autonomous agents: markets on a message bus."""
