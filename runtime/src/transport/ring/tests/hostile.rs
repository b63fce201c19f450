//! A hostile worker.
