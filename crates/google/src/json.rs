//! Messages from and to JSON, as Google's clients send and expect it.
//!
//! Clients also send forms that proto3's JSON does not have: enums in any case or as a number in a text, and field
//! masks in either spelling. This module converts them, in one walk along the message's type, before the message is
//! read. An unknown value of an enum is refused: a repository of format "BOGUS" must not become one without a format.
//! Unknown fields of a body are refused before (`unknown.rs`). Fields that are accepted and have no effect are dropped
//! here.

use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions,
};
use serde_json::{Map, Value};

/// A field that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FieldError {
    /// The field's dotted path.
    pub(super) field: String,
    pub(super) problem: String,
}

/// The form of enums in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EnumFormat {
    Names,
    Numbers,
}

/// Reads a message from the fields of its JSON object.
pub(super) fn read(
    descriptor: &MessageDescriptor,
    fields: Map<String, Value>,
) -> Result<DynamicMessage, FieldError> {
    let mut json = Value::Object(fields);
    normalize_message(descriptor, &mut json)?;
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(json, &mut track);
    DynamicMessage::deserialize_with_options(descriptor.clone(), deserializer, &options)
        .map_err(|error| FieldError { field: track.path().to_string(), problem: error.to_string() })
}

/// Returns a message as JSON, with its fields and the keys of its maps in alphabetical order.
pub(super) fn write(message: &DynamicMessage, enums: EnumFormat) -> serde_json::Result<Value> {
    let options = SerializeOptions::new().use_enum_numbers(enums == EnumFormat::Numbers);
    let mut value = message.serialize_with_options(serde_json::value::Serializer, &options)?;
    clean_empty_any(&mut value);
    // The message has hash maps. The order must not depend on the features with which serde_json is compiled.
    value.sort_all_objects();
    Ok(value)
}

/// Removes `value` from each `Any` that holds an `Empty`: that type has no fields, and Google's client refuses one.
fn clean_empty_any(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("@type").is_some_and(|name| name == EMPTY) {
                fields.remove("value");
            }
            fields.values_mut().for_each(clean_empty_any);
        }
        Value::Array(values) => values.iter_mut().for_each(clean_empty_any),
        _ => {}
    }
}

const EMPTY: &str = "type.googleapis.com/google.protobuf.Empty";

/// Returns the field of this name, in either spelling.
pub(super) fn field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))
}

impl FieldError {
    /// Adds the enclosing field to the path. The walk builds a path from its end while it returns.
    fn within(mut self, outer: &str) -> Self {
        let dot = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        self.field = format!("{outer}{dot}{}", self.field);
        self
    }
}

fn normalize_message(message: &MessageDescriptor, value: &mut Value) -> Result<(), FieldError> {
    match message.full_name() {
        "google.protobuf.FieldMask" => normalize_mask(value),
        // The other well-known types have a JSON form of their own, without enums.
        name if name.starts_with("google.protobuf.") => {}
        _ => {
            // Anything but an object is refused when the message is read.
            for (name, value) in value.as_object_mut().into_iter().flatten() {
                if let Some(field) = field(message, name) {
                    normalize_field(&field, value).map_err(|error| error.within(name))?;
                }
            }
        }
    }
    Ok(())
}

fn normalize_field(field: &FieldDescriptor, value: &mut Value) -> Result<(), FieldError> {
    match (field.kind(), value) {
        (Kind::Message(entry), Value::Object(entries)) if field.is_map() => {
            let kind = entry.map_entry_value_field().kind();
            for (key, value) in entries {
                normalize_value(&kind, value).map_err(|error| error.within(key))?;
            }
        }
        (kind, Value::Array(items)) if field.is_list() => {
            for (index, item) in items.iter_mut().enumerate() {
                normalize_value(&kind, item)
                    .map_err(|error| error.within(&format!("[{index}]")))?;
            }
        }
        (kind, value) => normalize_value(&kind, value)?,
    }
    Ok(())
}

fn normalize_value(kind: &Kind, value: &mut Value) -> Result<(), FieldError> {
    match kind {
        Kind::Message(message) => normalize_message(message, value),
        Kind::Enum(descriptor) => {
            let Value::String(text) = value else { return Ok(()) };
            let named = descriptor.values().find(|known| known.name().eq_ignore_ascii_case(text));
            let number = named.map(|known| known.number()).or_else(|| text.parse().ok());
            let number = number.ok_or_else(|| FieldError {
                field: String::new(),
                problem: format!("{text:?} is not one of {}", value_names(descriptor)),
            })?;
            *value = number.into();
            Ok(())
        }
        _ => Ok(()),
    }
}

fn value_names(descriptor: &prost_reflect::EnumDescriptor) -> String {
    let names: Vec<_> = descriptor.values().map(|value| value.name().to_owned()).collect();
    names.join(", ")
}

/// Converts a mask to the form of proto3's JSON: clients send `dockerConfig.immutableTags` or
/// `docker_config.immutable_tags`, and only the former is allowed there.
fn normalize_mask(value: &mut Value) {
    let Value::String(mask) = value else { return };
    if mask.trim().is_empty() {
        // An empty text means that there is no mask. A mask without fields would change nothing.
        *value = Value::Null;
        return;
    }
    let mut camel = String::with_capacity(mask.len());
    let mut raise = false;
    for letter in mask.chars().filter(|letter| !letter.is_whitespace()) {
        match letter {
            '_' => raise = true,
            _ if raise => {
                camel.push(letter.to_ascii_uppercase());
                raise = false;
            }
            _ => camel.push(letter),
        }
    }
    *mask = camel;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contract::POOL;

    fn repository() -> MessageDescriptor {
        let name = "google.devtools.artifactregistry.v1.UpdateRepositoryRequest";
        POOL.get_message_by_name(name).expect("there")
    }

    /// Reads a request to update a repository from `json`, and compares it as it is written again.
    #[track_caller]
    fn check(json: Value, expected: Value) {
        let Value::Object(fields) = json else { panic!("not an object") };
        let message = read(&repository(), fields).expect("readable");
        assert_eq!(write(&message, EnumFormat::Names).expect("printable"), expected);
    }

    #[track_caller]
    fn check_refused(json: Value, field: &str, problem: &str) {
        let Value::Object(fields) = json else { panic!("not an object") };
        let error = read(&repository(), fields).expect_err("refused");
        assert_eq!(error.field, field);
        assert!(error.problem.contains(problem), "{}", error.problem);
    }

    #[test]
    fn enums_are_taken_in_any_case_and_as_numbers() {
        for format in [json!("DOCKER"), json!("docker"), json!("Docker"), json!(1), json!("1")] {
            check(
                json!({"repository": {"format": format}}),
                json!({"repository": {"format": "DOCKER"}}),
            );
        }
        let policies = |action, state| {
            let policy = json!({"id": "a", "action": action, "condition": {"tagState": state}});
            json!({"repository": {"cleanupPolicies": {"a": policy}}})
        };
        check(policies("Delete", "any"), policies("DELETE", "ANY"));
    }

    #[test]
    fn unknown_enum_values_are_refused_and_named() {
        let format = json!({"repository": {"format": "BOGUS"}});
        check_refused(format, "repository.format", "\"BOGUS\" is not one of FORMAT_UNSPECIFIED");
        let policies = json!({"repository": {"cleanup_policies": {"a": {"action": "Burn"}}}});
        check_refused(policies, "repository.cleanup_policies.a.action", "\"Burn\"");
    }

    #[test]
    fn masks_are_taken_in_both_spellings() {
        for mask in [
            "description,dockerConfig.immutableTags",
            "description,docker_config.immutable_tags",
            "description, docker_config.immutableTags",
        ] {
            let expected = json!({"updateMask": "description,dockerConfig.immutableTags"});
            check(json!({"updateMask": mask}), expected.clone());
            check(json!({"update_mask": mask}), expected);
        }
        check(json!({"updateMask": "*"}), json!({"updateMask": "*"}));
        check(json!({"updateMask": ""}), json!({}));
        check(json!({}), json!({}));
    }

    #[test]
    fn what_is_unknown_is_ignored_and_what_is_wrong_is_named() {
        check(
            json!({"repository": {"sbomConfig": {"x": 1}, "name": "n"}, "y": []}),
            json!({"repository": {"name": "n"}}),
        );
        check_refused(
            json!({"repository": {"description": 1}}),
            "repository.description",
            "string",
        );
        check_refused(json!({"repository": []}), "repository", "map");
        let keep = |count| {
            let policy = json!({"mostRecentVersions": {"keepCount": count}});
            json!({"repository": {"cleanupPolicies": {"k": policy}}})
        };
        check(keep(json!("5")), keep(json!(5)));
        check_refused(
            keep(json!("x")),
            "repository.cleanupPolicies.k.mostRecentVersions.keepCount",
            "digit",
        );
        let both = json!({"virtualRepositoryConfig": {}, "remoteRepositoryConfig": {}});
        check_refused(json!({"repository": both}), "repository", "oneof");
    }

    #[test]
    fn durations_numbers_and_times_have_googles_forms() {
        let condition = |older: &str| {
            let policy = json!({"condition": {"olderThan": older}});
            json!({"repository": {"cleanupPolicies": {"p": policy}}})
        };
        for older in ["86400s", "86400.0s"] {
            check(condition(older), condition("86400s"));
        }
        check(condition("0.5s"), condition("0.500s"));
        check(json!({"repository": {"sizeBytes": 12}}), json!({"repository": {"sizeBytes": "12"}}));
        let time = json!({"repository": {"createTime": "2024-05-06T07:08:09.123456Z"}});
        check(time.clone(), time);
    }

    #[test]
    fn keys_of_maps_come_out_in_order() {
        let labels: Map<_, _> = (0..40).map(|n| (format!("k{n}"), json!("v"))).collect();
        let fields = json!({"repository": {"labels": labels}});
        let Value::Object(fields) = fields else { panic!("not an object") };
        let message = read(&repository(), fields).expect("readable");
        let written = write(&message, EnumFormat::Names).expect("printable").to_string();
        let mut keys: Vec<_> = labels.keys().cloned().collect();
        keys.sort();
        let positions: Vec<_> =
            keys.iter().map(|key| written.find(&format!("\"{key}\""))).collect();
        assert!(positions.is_sorted(), "{written}");
    }

    #[test]
    fn enums_are_written_as_numbers_where_asked() {
        let fields = json!({"repository": {"format": "DOCKER"}});
        let Value::Object(fields) = fields else { panic!("not an object") };
        let message = read(&repository(), fields).expect("readable");
        let written = write(&message, EnumFormat::Numbers).expect("printable");
        assert_eq!(written, json!({"repository": {"format": 1}}));
    }
}
