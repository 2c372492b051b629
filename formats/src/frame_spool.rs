//! Keeps data frames in a temporary file. A reader returns the frames in the order in which they were appended.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Cursor, ErrorKind, Read, Seek, Write},
};

use polars::prelude::{DataFrame, IpcCompression, IpcStreamReader, IpcStreamWriter, SerReader, SerWriter};

use crate::{FormatError, FormatLimits};

/// An unnamed temporary file of data frames in the Arrow IPC format. The length of a frame, an 8-byte little-endian
/// number, precedes the frame.
pub struct FrameSpool {
    file: BufWriter<File>,
    size: u64,
}

impl FrameSpool {
    /// Creates an empty file in the folder of temporary files.
    ///
    /// # Errors
    /// When the file can't be created.
    pub fn new(limits: &FormatLimits) -> Result<Self, FormatError> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile_in(&limits.spool_dir)?), size: 0 })
    }

    /// Appends a data frame, and returns the total size of all frames in the file, in bytes.
    ///
    /// # Errors
    ///
    /// When the disk is full or the file can't be written.
    pub fn append(&mut self, frame: &DataFrame) -> Result<u64, FormatError> {
        let mut bytes = Vec::new();
        IpcStreamWriter::new(&mut bytes).with_compression(Some(IpcCompression::LZ4)).finish(&mut frame.clone())?;
        let length = bytes.len() as u64;
        self.size += length;
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&bytes)?;
        Ok(self.size)
    }

    /// Returns a reader of all data frames in the file.
    ///
    /// # Errors
    ///
    /// When the disk is full or the file can't be written.
    pub fn into_frames(self) -> io::Result<Frames> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(Frames(BufReader::new(file)))
    }
}

/// Reads the data frames of a spool file in their order.
pub struct Frames(BufReader<File>);

impl Frames {
    /// Reads the next data frame. Returns None at the end of the file.
    ///
    /// # Errors
    ///
    /// When the file can't be read.
    pub fn next_frame(&mut self) -> Result<Option<DataFrame>, FormatError> {
        let mut length = [0; 8];
        match self.0.read_exact(&mut length) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e.into()),
        }
        let mut bytes = vec![0; usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX)];
        self.0.read_exact(&mut bytes)?;
        Ok(Some(IpcStreamReader::new(Cursor::new(bytes)).finish()?))
    }
}
