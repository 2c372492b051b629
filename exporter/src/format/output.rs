//! The destination of the bytes of a [`Writer`](super::Writer).

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// The destination of the bytes of one file, in order. Clones share the destination, and writes block while the
/// pipeline is behind.
#[derive(Clone)]
pub struct Output(Arc<Mutex<dyn Write + Send>>);

impl Output {
    /// Shares the inner writer.
    pub fn new<W: Write + Send + 'static>(inner: Arc<Mutex<W>>) -> Self {
        Self(inner)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // a panic while the lock is held leaves the written bytes intact
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        // libraries flush often, which would make tiny chunks; the pipeline flushes at the end
        Ok(())
    }
}
