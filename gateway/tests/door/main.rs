//! The gateway at its door: real sockets, a real NATS server and a real database, in one process.

mod identity;
mod requests;
mod support;
