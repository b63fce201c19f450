//! Types as they are, behind what a macro's variable or a pair of parentheses puts around them.

use syn::Type;

/// The type, without the invisible delimiters that a macro's variable stands in, and without parentheses.
pub(super) fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
    }
}
