//! Nothing: a package of examples alone needs a target of its own.
