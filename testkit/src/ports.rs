//! Ports of loopback that nobody else gets, not even while nobody listens on them.
//!
//! A port that was merely free a moment ago may be another test's by the time that a server wants it, and a server that is
//! away for a while may not get its own back. So each port is bound here too, by a socket that never listens: to others it
//! is taken, connections to it are refused, and a server that allows its address to be reused, as all do, may listen on it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use tokio::net::TcpSocket;

/// Those of this process, until it ends.
static HELD: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());

/// A port for a server of this process's own, or of a child of it, for as long as this process lives.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    reserve(0).expect("loopback has free ports")
}

/// The same for this port; 0 for any.
///
/// # Errors
/// When somebody has it.
pub(crate) fn reserve(port: u16) -> io::Result<u16> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    // only now, as two that allow it before could both have the port
    socket.set_reuseaddr(true)?;
    let port = socket.local_addr()?.port();
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
    Ok(port)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_port_is_for_one_server_at_a_time_and_for_nobody_else() {
        let port = free_port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for _ in 0..2 {
            assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            let server = TcpListener::bind(address).unwrap();
            let client = TcpStream::connect(address).unwrap();
            // who closes first leaves the port in use for a minute, for all who don't allow its reuse
            drop(server.accept().unwrap());
            drop((server, client));
        }
        reserve(port).unwrap_err();
    }
}
