//! The refusal of unknown fields in a body, in Google's words, so that a misspelt setting is not lost in silence.
//!
//! Fields that Google's API has and this registry does not use are accepted, and have no effect. They are listed in
//! `accepted_fields.json`: `accepted` has them by message, each with its inner fields, or with `null` if these are not
//! known. `open` has the packages whose fields are not all known. Their messages may have any field.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{GoogleError, UnknownField};
use super::json;

/// The most unknown names that one answer lists.
const MAX_NAMES: usize = 10;

/// The fields that are accepted besides those of the contract.
#[derive(Deserialize)]
struct AcceptedFields {
    open: Vec<String>,
    accepted: HashMap<String, HashMap<String, Option<Vec<String>>>>,
}

static ACCEPTED: LazyLock<AcceptedFields> = LazyLock::new(|| {
    serde_json::from_str(include_str!("accepted_fields.json")).expect("a test reads it")
});

impl AcceptedFields {
    fn is_open(&self, message: &MessageDescriptor) -> bool {
        self.open.iter().any(|package| package == message.package_name())
    }

    /// Returns the inner fields of an accepted field, or `Some(None)` if these are not known. Returns `None` for a
    /// field that is not accepted.
    fn field(&self, message: &MessageDescriptor, name: &str) -> Option<Option<&[String]>> {
        let fields = self.accepted.get(message.full_name())?;
        let mut inner_fields = fields.iter().filter(|(field, _)| is_called(field, name));
        inner_fields.next().map(|(_, inner)| inner.as_deref())
    }
}

/// Returns whether a name is the field's name, in either spelling.
fn is_called(field: &str, name: &str) -> bool {
    name == field || name == snake_case(field)
}

/// Returns `docker_config` for `dockerConfig`.
fn snake_case(name: &str) -> String {
    let mut snake_case = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake_case.push('_');
        }
        snake_case.push(letter.to_ascii_lowercase());
    }
    snake_case
}

/// Refuses a message's JSON if it has unknown fields.
pub(super) fn check(
    message: &MessageDescriptor,
    fields: &Map<String, Value>,
) -> Result<(), GoogleError> {
    let mut found = UnknownFieldsFound(Vec::new());
    found.search_message(message, fields, "");
    if found.0.is_empty() { Ok(()) } else { Err(GoogleError::unknown_fields(&found.0)) }
}

struct UnknownFieldsFound(Vec<UnknownField>);

impl UnknownFieldsFound {
    fn search_message(
        &mut self,
        message: &MessageDescriptor,
        fields: &Map<String, Value>,
        path: &str,
    ) {
        // The well-known types have a JSON form of their own: a Struct takes every name.
        if message.package_name() == "google.protobuf" {
            return;
        }
        for (name, value) in fields {
            if self.0.len() >= MAX_NAMES {
                return;
            }
            match json::field(message, name) {
                Some(field) => self.search_field(&field, value, &field_path(path, field.name())),
                None if ACCEPTED.is_open(message) => {}
                None => match ACCEPTED.field(message, name) {
                    Some(inner) => {
                        self.search_names(inner, value, &field_path(path, &snake_case(name)))
                    }
                    None => self.add(path, name),
                },
            }
        }
    }

    fn search_field(&mut self, field: &FieldDescriptor, value: &Value, path: &str) {
        match (field.kind(), value) {
            (Kind::Message(entry), Value::Object(entries)) if field.is_map() => {
                if let Kind::Message(inner) = entry.map_entry_value_field().kind() {
                    // Google names a place within a map by the index of the entry, and then `value`.
                    for (index, value) in entries.values().enumerate() {
                        self.search_value(&inner, value, &format!("{path}[{index}].value"));
                    }
                }
            }
            (Kind::Message(inner), Value::Array(items)) if field.is_list() => {
                for (index, item) in items.iter().enumerate() {
                    self.search_value(&inner, item, &format!("{path}[{index}]"));
                }
            }
            (Kind::Message(inner), value) => self.search_value(&inner, value, path),
            _ => {}
        }
    }

    /// Looks at a value, if it is an object. Other values are refused when the message is read.
    fn search_value(&mut self, message: &MessageDescriptor, value: &Value, path: &str) {
        if let Value::Object(fields) = value {
            self.search_message(message, fields, path);
        }
    }

    fn search_names(&mut self, inner_fields: Option<&[String]>, value: &Value, path: &str) {
        let (Some(inner_fields), Value::Object(fields)) = (inner_fields, value) else { return };
        for name in fields.keys() {
            if !inner_fields.iter().any(|field| is_called(field, name)) {
                self.add(path, name);
            }
        }
    }

    fn add(&mut self, path: &str, name: &str) {
        if self.0.len() < MAX_NAMES {
            self.0.push(UnknownField { path: path.to_owned(), name: name.to_owned() });
        }
    }
}

fn field_path(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contract::POOL;

    #[track_caller]
    fn check_unknown(message: &str, json: Value, expected: &[(&str, &str)]) {
        let descriptor = POOL.get_message_by_name(message).expect("there");
        let Value::Object(fields) = json else { panic!("not an object") };
        let mut found = UnknownFieldsFound(Vec::new());
        found.search_message(&descriptor, &fields, "");
        let found: Vec<_> =
            found.0.iter().map(|unknown| (unknown.path.as_str(), unknown.name.as_str())).collect();
        assert_eq!(found, expected, "{fields:?}");
    }

    const UPDATE: &str = "google.devtools.artifactregistry.v1.UpdateRepositoryRequest";

    #[track_caller]
    fn check_repository(json: Value, expected: &[(&str, &str)]) {
        check_unknown(UPDATE, json!({ "repository": json }), expected);
    }

    #[test]
    fn what_no_message_has_is_found_with_its_place() {
        check_unknown(UPDATE, json!({ "y": [] }), &[("", "y")]);
        check_repository(json!({ "dockerconfig": {} }), &[("repository", "dockerconfig")]);
        check_repository(json!({ "DockerConfig": {} }), &[("repository", "DockerConfig")]);
        check_repository(json!({ "x": null }), &[("repository", "x")]);
        for name in ["dockerConfig", "docker_config"] {
            let config = json!({ name: { "immutableTags": true, "immutable_tag": true } });
            check_repository(config, &[("repository.docker_config", "immutable_tag")]);
        }
        let policies =
            json!({ "cleanupPolicies": { "p": { "condition": { "olderthan": "1d" } } } });
        let path = "repository.cleanup_policies[0].value.condition";
        check_repository(policies, &[(path, "olderthan")]);
        let upstreams = json!({ "upstreamPolicies": [{ "id": "a" }, { "id": "b", "prio": 1 }] });
        let path = "repository.virtual_repository_config.upstream_policies[1]";
        check_repository(json!({ "virtualRepositoryConfig": upstreams }), &[(path, "prio")]);
        let policy = json!({ "policy": { "bindings": [{ "role": "r", "member": "x" }] } });
        check_unknown(
            "google.iam.v1.SetIamPolicyRequest",
            policy,
            &[("policy.bindings[0]", "member")],
        );
        let condition = json!({ "policy": { "bindings": [{ "condition": { "expr": "true" } }] } });
        let path = "policy.bindings[0].condition";
        check_unknown("google.iam.v1.SetIamPolicyRequest", condition, &[(path, "expr")]);
    }

    #[test]
    fn what_google_has_and_nothing_acts_on_is_taken() {
        check_repository(
            json!({
                "mavenConfig": { "versionPolicy": "RELEASE" },
                "maven_config": { "allow_snapshot_overwrites": true },
                "sbomConfig": { "enablementConfig": "INHERITED", "gcsBucket": "b" },
                "networkConfig": { "alternativeHostname": "h", "prefix": "p", "isDefault": true },
                "remoteRepositoryConfig": { "npmRepository": { "anything": [] }, "remote_type": "x" },
                "labels": { "any": "label" },
            }),
            &[],
        );
        check_repository(json!({ "sbomConfig": { "x": 1 } }), &[("repository.sbom_config", "x")]);
        check_repository(json!({ "npmRepository": {} }), &[("repository", "npmRepository")]);
    }

    #[test]
    fn where_not_all_is_known_everything_is_taken() {
        let project = "google.cloud.resourcemanager.v1.CreateProjectRequest";
        check_unknown(project, json!({ "project": { "etag": "x" } }), &[]);
        let version = "google.devtools.artifactregistry.v1.Version";
        let metadata =
            json!({ "metadata": { "any": { "thing": 1 } }, "annotations": { "a": "b" } });
        check_unknown(version, metadata, &[]);
    }

    /// An entry of the data has no effect if it names no message, or a field that the contract has.
    #[test]
    fn the_data_is_about_the_contract() {
        for package in &ACCEPTED.open {
            let mut messages = POOL.all_messages();
            assert!(messages.any(|message| message.package_name() == package), "{package}");
        }
        for (message, fields) in &ACCEPTED.accepted {
            let descriptor = POOL.get_message_by_name(message).expect(message);
            for name in fields.keys() {
                assert!(json::field(&descriptor, name).is_none(), "{message}.{name} is acted on");
                assert_eq!(
                    snake_case(name).matches('_').count(),
                    name.matches(char::is_uppercase).count()
                );
            }
        }
    }

    #[test]
    fn an_answer_tells_of_some() {
        let many: Map<_, _> = (0..1000).map(|n| (format!("x{n}"), json!({}))).collect();
        let descriptor = POOL.get_message_by_name(UPDATE).expect("there");
        let error = check(&descriptor, &many).expect_err("refused");
        assert_eq!(error.message().lines().count(), MAX_NAMES);
        let begins = "Invalid JSON payload received. Unknown name \"x0\": Cannot find field.\n";
        assert!(error.message().starts_with(begins), "{}", error.message());
    }
}
