//! Whether progress is shown, as the option takes it: not without the feature `progress`, and the compiler says so.

/// Whether a map shows its progress: a `bool`, with the feature `progress` of this crate.
#[cfg_attr(
    not(feature = "progress"),
    diagnostic::on_unimplemented(
        message = "the option `progress` needs the feature `progress` of poolmap",
        label = "in Cargo.toml: `poolmap = {{ version = \"…\", features = [\"progress\"] }}`"
    )
)]
#[cfg_attr(
    feature = "progress",
    diagnostic::on_unimplemented(message = "`progress` is `true` or `false`", label = "a `bool` is needed here")
)]
pub trait ShowProgress {
    /// Whether it does.
    fn shown(self) -> bool;
}

#[cfg(feature = "progress")]
impl ShowProgress for bool {
    fn shown(self) -> bool {
        self
    }
}
