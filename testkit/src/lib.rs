//! Real servers, a scripted client and builders for tests.
