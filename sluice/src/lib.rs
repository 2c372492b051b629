//! The one binary a person installs.
