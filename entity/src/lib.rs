//! sea-orm models with owner-scoped finders.
