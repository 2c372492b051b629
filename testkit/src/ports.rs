//! Reserves ports of loopback for servers of tests.
//!
//! A free port could be taken by another test before a server binds it, or while the server is stopped. This module
//! therefore keeps each reserved port bound with a socket that never listens. Other processes cannot bind the port, and
//! connections to it are refused. A server that sets `SO_REUSEADDR`, as all servers of tests do, can still listen on
//! it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use tokio::net::TcpSocket;

/// The sockets that hold the reserved ports of this process.
static RESERVED: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());

/// Reserves a free port for a server in this process or in a child, until this process ends.
///
/// # Panics
/// When no port is free.
#[must_use]
pub fn free_port() -> u16 {
    reserve(0).expect("loopback has free ports")
}

/// Reserves this port until the end of the process, or any free port if `port` is 0.
///
/// # Errors
/// When the port is in use.
pub(crate) fn reserve(port: u16) -> io::Result<u16> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    // set the option after the bind, because two sockets with the option could both bind the port
    socket.set_reuseaddr(true)?;
    let port = socket.local_addr()?.port();
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
    Ok(port)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_reserved_port_serves_one_server_at_a_time_and_refuses_other_binds() {
        let port = free_port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for _ in 0..2 {
            assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            let server = TcpListener::bind(address).unwrap();
            let client = TcpStream::connect(address).unwrap();
            // the side that closes first leaves the port in TIME_WAIT, which only address reuse ignores
            drop(server.accept().unwrap());
            drop((server, client));
        }
        reserve(port).unwrap_err();
    }
}
