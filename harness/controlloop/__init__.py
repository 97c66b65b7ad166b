"""The training system under test, small and real: trainer, state, snapshots, rollback."""
