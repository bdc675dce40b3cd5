//! Query parameters: the fields of a request that neither the path nor the body fills.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::json::{self, EnumFormat, FieldError};

/// Adds the fields of the query to those of the body, so that they are read together.
///
/// Names have either spelling, and dots for inner fields. Names that the request does not have are ignored, such as
/// `alt`, `key` and `$alt`, which are about the call and not fields of the request.
pub(super) fn fill(
    message: &MessageDescriptor,
    query: &str,
    fields: &mut Map<String, Value>,
) -> Result<(), FieldError> {
    for (name, text) in form_urlencoded::parse(query.as_bytes()) {
        set(message, &name, &text, fields).map_err(|problem| FieldError {
            field: name.into_owned(),
            problem: problem.to_owned(),
        })?;
    }
    Ok(())
}

/// Returns the form of enums that the caller wants: Google's Python client sends `$alt=json;enum-encoding=int`.
pub(super) fn enum_format(query: &str) -> EnumFormat {
    let numbers = form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
        matches!(&*name, "$alt" | "alt") && value.split(';').any(|part| part == "enum-encoding=int")
    });
    if numbers { EnumFormat::Numbers } else { EnumFormat::Names }
}

/// Returns whether the caller wants the content instead of JSON, if the method has content.
pub(super) fn wants_media(query: &str) -> bool {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.any(|(name, value)| matches!(&*name, "$alt" | "alt") && value == "media")
}

fn set(
    message: &MessageDescriptor,
    name: &str,
    text: &str,
    fields: &mut Map<String, Value>,
) -> Result<(), &'static str> {
    let (first, rest) = match name.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (name, None),
    };
    let Some(field) = json::field(message, first).filter(|field| !field.is_map()) else {
        return Ok(());
    };
    let key = field.json_name().to_owned();
    match (field.kind(), rest) {
        (_, None) if field.is_list() => {
            match fields.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(items) => items.push(value(&field, text)?),
                _ => return Err("is a list"),
            }
        }
        (_, None) => {
            fields.insert(key, value(&field, text)?);
        }
        (Kind::Message(inner), Some(rest)) if !field.is_list() => {
            match fields.entry(key).or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(fields) => set(&inner, rest, text, fields)?,
                _ => return Err("is not an object in the body"),
            }
        }
        (_, Some(_)) => {}
    }
    Ok(())
}

/// Returns the JSON value of a parameter, which is a text. JSON accepts a text for every type except booleans, which
/// gcloud writes as Python does (`True`).
fn value(field: &FieldDescriptor, text: &str) -> Result<Value, &'static str> {
    if field.kind() != Kind::Bool {
        return Ok(Value::String(text.to_owned()));
    }
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(Value::Bool(true)),
        "false" | "0" | "" => Ok(Value::Bool(false)),
        _ => Err("is neither true nor false"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contract::POOL;

    #[track_caller]
    fn check(message: &str, query: &str, expected: Result<Value, &str>) {
        let descriptor = POOL.get_message_by_name(message).expect("there");
        let mut fields = Map::new();
        let read =
            fill(&descriptor, query, &mut fields).and_then(|()| json::read(&descriptor, fields));
        let read = read.map(|message| json::write(&message, EnumFormat::Names).expect("printable"));
        assert_eq!(read.map_err(|error| error.field), expected.map_err(str::to_owned), "{query}");
    }

    #[test]
    fn names_come_in_both_spellings_and_what_is_unknown_is_ignored() {
        let list = "google.devtools.artifactregistry.v1.ListVersionsRequest";
        let expected = json!({"pageSize": 5, "orderBy": "UPDATE_TIME desc", "view": "FULL"});
        for query in [
            "pageSize=5&orderBy=UPDATE_TIME+desc&view=FULL",
            "page_size=5&order_by=UPDATE_TIME%20desc&view=full&alt=json&prettyPrint=true",
            "view=2&pageSize=5&orderBy=UPDATE_TIME%20desc&%24alt=json%3Benum-encoding%3Dint&key=K&$.xgafv=2",
        ] {
            check(list, query, Ok(expected.clone()));
        }
        check(list, "", Ok(json!({})));
        check(list, "pageSize=many", Err("pageSize"));
        check(list, "view=BOGUS", Err("view"));
        check(list, "pageSize.x=1", Ok(json!({})));
    }

    #[test]
    fn fields_of_fields_have_dots_and_lists_come_again_and_again() {
        let policy = "google.iam.v1.GetIamPolicyRequest";
        for query in ["options.requestedPolicyVersion=3", "options.requested_policy_version=3"] {
            check(policy, query, Ok(json!({"options": {"requestedPolicyVersion": 3}})));
        }
        check(policy, "options.requestedPolicyVersion=x", Err("options.requestedPolicyVersion"));
        check(policy, "options=x", Err("options"));
        let keys = "google.iam.admin.v1.ListServiceAccountKeysRequest";
        let both = json!({"keyTypes": ["USER_MANAGED", "SYSTEM_MANAGED"]});
        check(keys, "keyTypes=USER_MANAGED&key_types=2", Ok(both));
        let update = "google.devtools.artifactregistry.v1.UpdateRepositoryRequest";
        let mask = json!({"updateMask": "labels,dockerConfig"});
        check(update, "update_mask=labels,docker_config", Ok(mask));
    }

    #[test]
    fn truth_is_written_as_python_does() {
        let roles = "google.iam.admin.v1.ListRolesRequest";
        check(roles, "showDeleted=False", Ok(json!({})));
        check(roles, "showDeleted=True", Ok(json!({"showDeleted": true})));
        check(roles, "showDeleted=perhaps", Err("showDeleted"));
    }

    #[test]
    fn numbers_for_enums_are_asked_for_in_alt() {
        for query in ["%24alt=json%3Benum-encoding%3Dint", "pageSize=1&$alt=json;enum-encoding=int"]
        {
            assert_eq!(enum_format(query), EnumFormat::Numbers, "{query}");
        }
        for query in ["", "alt=json", "$alt=json", "filter=enum-encoding%3Dint"] {
            assert_eq!(enum_format(query), EnumFormat::Names, "{query}");
        }
    }

    #[test]
    fn bytes_are_asked_for_in_alt() {
        for (query, wanted) in
            [("alt=media", true), ("x=1&%24alt=media", true), ("alt=json", false), ("", false)]
        {
            assert_eq!(wants_media(query), wanted, "{query}");
        }
    }
}
