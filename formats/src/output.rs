//! Defines the output stream of a [`Writer`](super::Writer).

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// The output stream of one file. Clones write to the same stream. A write blocks until the next stage of the pipeline
/// accepts the bytes.
#[derive(Clone)]
pub struct Output(Arc<Mutex<dyn Write + Send>>);

impl Output {
    /// Creates an output that writes to `inner`. The caller keeps another reference to `inner`, for example to flush
    /// it.
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
        // libraries flush often, which would create tiny chunks; the pipeline flushes at the end
        Ok(())
    }
}
