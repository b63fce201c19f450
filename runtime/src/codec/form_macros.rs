//! How the plain data of messages is read and written by serde, without its derive macro, which would be one crate more in everybody's
//! tree: a struct as the tuple of its fields, an enum as the number of its variant and what that holds.

/// Defines a struct with `Serialize` and `Deserialize`.
macro_rules! message_struct {
    ($(#[$attribute:meta])* $visibility:vis struct $name:ident { $($(#[$on_field:meta])* $field_visibility:vis $field:ident: $type:ty,)+ }) => {
        $(#[$attribute])*
        $visibility struct $name { $($(#[$on_field])* $field_visibility $field: $type,)+ }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                ($(&self.$field,)+).serialize(serializer)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                let ($($field,)+): ($($type,)+) = ::serde::Deserialize::deserialize(deserializer)?;
                Ok(Self { $($field),+ })
            }
        }
    };
}

/// Defines an enum, each variant of which holds one value, with `Serialize` and `Deserialize`.
macro_rules! message_enum {
    ($(#[$attribute:meta])* $visibility:vis enum $name:ident { $($(#[$on_variant:meta])* $number:literal => $variant:ident($type:ty),)+ }) => {
        $(#[$attribute])*
        $visibility enum $name { $($(#[$on_variant])* $variant($type),)+ }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(value) => {
                        serializer.serialize_newtype_variant(stringify!($name), $number, stringify!($variant), value)
                    })+
                }
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                use ::serde::de::{EnumAccess, Error, Unexpected, VariantAccess, Visitor};

                struct Variants;

                impl<'de> Visitor<'de> for Variants {
                    type Value = $name;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str(stringify!($name))
                    }

                    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> ::std::result::Result<$name, A::Error> {
                        match access.variant::<u32>()? {
                            $(($number, variant) => variant.newtype_variant::<$type>().map($name::$variant),)+
                            (other, _) => Err(A::Error::invalid_value(Unexpected::Unsigned(other.into()), &self)),
                        }
                    }
                }

                deserializer.deserialize_enum(stringify!($name), &[$(stringify!($variant)),+], Variants)
            }
        }
    };
}

pub(crate) use {message_enum, message_struct};
