//! The functions that the fuzz targets in `fuzz/` call. It is there under `cfg(fuzzing)` alone, and no part of the public face.

/// Reads the bytes as what a worker sends over the socket.
pub fn frames(bytes: &[u8]) {
    crate::wire::fuzz(bytes);
}

/// Reads the bytes as what a process of a cluster sends.
pub fn messages(bytes: &[u8]) {
    crate::cluster::fuzz(bytes);
}

/// Does what the bytes say to the memory that a worker shares with the parent, and reads it as the parent does.
pub fn ring(bytes: &[u8]) {
    crate::transport::fuzz(bytes);
}
