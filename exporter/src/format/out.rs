//! Where a [`Writer`](super::Writer) writes.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// A place for the bytes of a file, in their order. Clones write to the same place, and a reader that is slow makes
/// them wait.
#[derive(Clone)]
pub struct Out(Arc<Mutex<dyn Write + Send>>);

impl Out {
    /// Writes to the inner writer.
    pub fn new<W: Write + Send + 'static>(inner: Arc<Mutex<W>>) -> Self {
        Self(inner)
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // bytes that were written are whole also when somebody panicked
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        // whoever made it flushes at the end: libraries flush whenever they like, which would make tiny chunks
        Ok(())
    }
}
