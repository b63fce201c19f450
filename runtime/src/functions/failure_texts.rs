//! Texts that travel with a failure, cut so that all of them fit into a frame.

/// Texts of an error are cut here, and at a part of the frame, so that an error always fits into it.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The part of a frame for the message, the debug text and the type's name, each.
pub(super) const TEXT_PART: usize = 8;

/// Cuts a text at so many bytes, and at [`TEXT_BYTES_MAX`].
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    let bytes_max = bytes_max.min(TEXT_BYTES_MAX);
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{} …", &text[..text.floor_char_boundary(bytes_max)])
}
