//! Process plumbing: settings, telemetry, lifecycle, clock, health, bus and file store.
