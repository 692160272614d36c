"""Questions about the cluster as a whole: who is there, where a task would go, and why it does not. They change nothing."""
