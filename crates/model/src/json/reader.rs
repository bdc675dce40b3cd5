//! A reader around serde's: it sees every key before who asked for the value does.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};

use super::{FieldTable, MAX_KEYS};

/// How many characters of a key are shown.
const SHOWN_KEY: usize = 100;

/// Where in a document a value stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'w> {
    /// How many more keys the document may have.
    pub(super) keys_left: &'w Cell<usize>,
    /// The fields of the object that stands here, or of each one in the array.
    pub(super) table: Option<&'static FieldTable>,
}

/// A deserializer that hands out what `source` reads, and refuses keys.
pub(super) struct Reader<'w, D> {
    pub(super) source: D,
    pub(super) place: Place<'w>,
}

/// What a structure may be read from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Any,
    /// Serde reads structures from arrays too, which no other reader does.
    Object,
}

macro_rules! read {
    ($($method:ident($($argument:ident: $type:ty),*) as $source:ident, $form:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.source.$source($($argument,)* Watched { visitor, place: self.place, form: Form::$form })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Reader<'_, D> {
    type Error = D::Error;

    read! {
        deserialize_any() as deserialize_any, Any;
        // Nobody wants the value, but its keys and texts must be right all the same.
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

/// Who asked for a value, with the place of the value.
struct Watched<'w, V> {
    visitor: V,
    place: Place<'w>,
    form: Form,
}

macro_rules! hand_on {
    ($($method:ident($type:ty);)*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.visitor.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Watched<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    hand_on! {
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
        self.visitor.visit_some(Reader { source, place: self.place })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, source: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Reader { source, place: self.place })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, source: A) -> Result<V::Value, A::Error> {
        match self.form {
            Form::Any => self.visitor.visit_seq(Elements { source, place: self.place }),
            Form::Object => Err(A::Error::invalid_type(Unexpected::Seq, &self.visitor)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, source: A) -> Result<V::Value, A::Error> {
        let (seen, inside) = (HashSet::new(), None);
        self.visitor.visit_map(Members { source, place: self.place, seen, inside })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
        Err(A::Error::custom("a choice among variants is not read from a document"))
    }
}

/// The elements of an array.
struct Elements<'w, A> {
    source: A,
    place: Place<'w>,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.source.next_element_seed(Seed { seed, place: self.place })
    }
}

/// The members of an object.
struct Members<'de, 'w, A> {
    source: A,
    place: Place<'w>,
    seen: HashSet<Cow<'de, str>>,
    /// The fields of what is inside the member whose key was read last.
    inside: Option<&'static FieldTable>,
}

impl<'de, A: MapAccess<'de>> Members<'de, '_, A> {
    fn admit(&mut self, key: &Cow<'de, str>) -> Result<(), A::Error> {
        let Some(left) = self.place.keys_left.get().checked_sub(1) else {
            return Err(A::Error::custom(format_args!("more than {MAX_KEYS} keys")));
        };
        self.place.keys_left.set(left);
        let field = self.place.table.and_then(|table| table.find(key));
        if let Some(field) = field.filter(|field| field.name != key) {
            return Err(A::Error::custom(format_args!(
                "key {key:?} must be spelled {:?}: clients take one for the other",
                field.name
            )));
        }
        self.inside = field.and_then(|field| field.inside);
        if self.seen.insert(key.clone()) {
            return Ok(());
        }
        let shown: String = key.chars().take(SHOWN_KEY).collect();
        Err(A::Error::custom(format_args!("key {shown:?} stands twice in one object")))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'de, '_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let Some(key) = self.source.next_key_seed(KeyText)? else { return Ok(None) };
        self.admit(&key)?;
        match key {
            Cow::Borrowed(key) => seed.deserialize(BorrowedStrDeserializer::new(key)),
            Cow::Owned(key) => seed.deserialize(key.into_deserializer()),
        }
        .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let place = Place { table: self.inside, ..self.place };
        self.source.next_value_seed(Seed { seed, place })
    }
}

/// Reads a value by a [`Reader`].
struct Seed<'w, S> {
    seed: S,
    place: Place<'w>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(Reader { source, place: self.place })
    }
}

/// Reads a key, which stays where it is unless it has escapes.
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
