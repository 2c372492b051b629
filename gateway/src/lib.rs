//! The only door: authentication, sessions, REST and delivery.
