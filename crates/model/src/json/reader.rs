//! A deserializer around that of `serde_json`: it checks every key before the caller's visitor sees the key.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};

use super::{FieldTable, MAX_DOCUMENT_KEYS};

/// The largest number of characters of a key that an error repeats.
const MAX_KEY_CHARS: usize = 100;

/// The rules for the keys inside of one value.
#[derive(Clone, Copy)]
pub(super) struct ValueContext<'w> {
    /// The number of keys that the rest of the document may have.
    pub(super) keys_left: &'w Cell<usize>,
    /// The fields of the value, if it is an object, or of each object in it, if it is an array.
    pub(super) table: Option<&'static FieldTable>,
}

/// A deserializer that passes on everything that `source` reads, except keys that are refused.
pub(super) struct StrictDeserializer<'w, D> {
    pub(super) source: D,
    pub(super) context: ValueContext<'w>,
}

/// The kinds of JSON value that are accepted for a Rust type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ExpectedForm {
    Any,
    /// Objects only. Serde would read a structure from an array too, which clients do not.
    Object,
}

macro_rules! deserialize_with_checks {
    ($($method:ident($($argument:ident: $type:ty),*) as $source:ident, $form:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let form = ExpectedForm::$form;
            self.source.$source($($argument,)* StrictVisitor { visitor, context: self.context, form })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for StrictDeserializer<'_, D> {
    type Error = D::Error;

    deserialize_with_checks! {
        deserialize_any() as deserialize_any, Any;
        // The caller ignores this value, but its keys and texts are checked nevertheless.
        deserialize_ignored_any() as deserialize_any, Any;
        deserialize_bool() as deserialize_bool, Any;
        deserialize_i8() as deserialize_i8, Any;
        deserialize_i16() as deserialize_i16, Any;
        deserialize_i32() as deserialize_i32, Any;
        deserialize_i64() as deserialize_i64, Any;
        deserialize_i128() as deserialize_i128, Any;
        deserialize_u8() as deserialize_u8, Any;
        deserialize_u16() as deserialize_u16, Any;
        deserialize_u32() as deserialize_u32, Any;
        deserialize_u64() as deserialize_u64, Any;
        deserialize_u128() as deserialize_u128, Any;
        deserialize_f32() as deserialize_f32, Any;
        deserialize_f64() as deserialize_f64, Any;
        deserialize_char() as deserialize_char, Any;
        deserialize_str() as deserialize_str, Any;
        deserialize_string() as deserialize_string, Any;
        deserialize_bytes() as deserialize_bytes, Any;
        deserialize_byte_buf() as deserialize_byte_buf, Any;
        deserialize_option() as deserialize_option, Any;
        deserialize_unit() as deserialize_unit, Any;
        deserialize_unit_struct(name: &'static str) as deserialize_unit_struct, Any;
        deserialize_newtype_struct(name: &'static str) as deserialize_newtype_struct, Any;
        deserialize_seq() as deserialize_seq, Any;
        deserialize_tuple(len: usize) as deserialize_tuple, Any;
        deserialize_tuple_struct(name: &'static str, len: usize) as deserialize_tuple_struct, Any;
        deserialize_map() as deserialize_map, Any;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) as deserialize_struct, Object;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) as deserialize_enum, Any;
        deserialize_identifier() as deserialize_identifier, Any;
    }
}

/// A visitor that passes a value on to the caller's visitor, inside of which keys are checked.
struct StrictVisitor<'w, V> {
    visitor: V,
    context: ValueContext<'w>,
    form: ExpectedForm,
}

macro_rules! forward {
    ($($method:ident($type:ty);)*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.visitor.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for StrictVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    forward! {
        visit_bool(bool);
        visit_i64(i64);
        visit_i128(i128);
        visit_u64(u64);
        visit_u128(u128);
        visit_f64(f64);
        visit_char(char);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, source: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(StrictDeserializer { source, context: self.context })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, source: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(StrictDeserializer { source, context: self.context })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, source: A) -> Result<V::Value, A::Error> {
        match self.form {
            ExpectedForm::Any => {
                self.visitor.visit_seq(ArrayElements { source, context: self.context })
            }
            ExpectedForm::Object => Err(A::Error::invalid_type(Unexpected::Seq, &self.visitor)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, source: A) -> Result<V::Value, A::Error> {
        let (seen, inside) = (HashSet::new(), None);
        self.visitor.visit_map(ObjectMembers { source, context: self.context, seen, inside })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
        Err(A::Error::custom("enums are not supported"))
    }
}

/// The elements of an array.
struct ArrayElements<'w, A> {
    source: A,
    context: ValueContext<'w>,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for ArrayElements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.source.next_element_seed(StrictSeed { seed, context: self.context })
    }
}

/// The members of an object.
struct ObjectMembers<'de, 'w, A> {
    source: A,
    context: ValueContext<'w>,
    seen: HashSet<Cow<'de, str>>,
    /// The fields of the value whose key was read last.
    inside: Option<&'static FieldTable>,
}

impl<'de, A: MapAccess<'de>> ObjectMembers<'de, '_, A> {
    fn check_key(&mut self, key: &Cow<'de, str>) -> Result<(), A::Error> {
        let Some(left) = self.context.keys_left.get().checked_sub(1) else {
            return Err(A::Error::custom(format_args!("more than {MAX_DOCUMENT_KEYS} keys")));
        };
        self.context.keys_left.set(left);
        let field = self.context.table.and_then(|table| table.find(key));
        if let Some(field) = field.filter(|field| field.name != key) {
            return Err(A::Error::custom(format_args!(
                "key {key:?} must be spelled {:?}: some clients read both as the same field",
                field.name
            )));
        }
        self.inside = field.and_then(|field| field.inside);
        if self.seen.insert(key.clone()) {
            return Ok(());
        }
        let shown: String = key.chars().take(MAX_KEY_CHARS).collect();
        Err(A::Error::custom(format_args!("key {shown:?} stands twice in one object")))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for ObjectMembers<'de, '_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let Some(key) = self.source.next_key_seed(KeyText)? else { return Ok(None) };
        self.check_key(&key)?;
        match key {
            Cow::Borrowed(key) => seed.deserialize(BorrowedStrDeserializer::new(key)),
            Cow::Owned(key) => seed.deserialize(key.into_deserializer()),
        }
        .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let context = ValueContext { table: self.inside, ..self.context };
        self.source.next_value_seed(StrictSeed { seed, context })
    }
}

/// Reads a value with a [`StrictDeserializer`].
struct StrictSeed<'w, S> {
    seed: S,
    context: ValueContext<'w>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for StrictSeed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(StrictDeserializer { source, context: self.context })
    }
}

/// Reads a key. The key is borrowed from the document unless it has escapes.
struct KeyText;

impl<'de> DeserializeSeed<'de> for KeyText {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeyText {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }
}
