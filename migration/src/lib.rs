//! Database migrations, one file a step.
