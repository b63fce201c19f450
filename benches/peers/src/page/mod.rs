//! The page and its plot: what the figures mean, in words, tables and a picture.

mod apart;
mod load;
mod machine;
mod model;
mod numbers;
mod own;
mod plot;
mod tables;
mod text;

pub use text::write;
