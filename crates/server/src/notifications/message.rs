//! The format of a message: Artifact Registry's notification, in the envelope in which Pub/Sub pushes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::Notification;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Returns the body of a request. `uri` is the URI of the repository, and the first part of the names of its images.
pub(super) fn envelope(message: &Notification, uri: &str, subscription: &str) -> Value {
    let id = message.id.to_string();
    let time = Timestamp::from_microsecond(message.occurred_at).unwrap_or_default().to_string();
    let data = STANDARD.encode(data(message, uri).to_string());
    // Pub/Sub sends the id and the time in both spellings, and receivers read either.
    json!({
        "message": {
            "data": data, "messageId": id, "message_id": id, "publishTime": time, "publish_time": time,
        },
        "subscription": subscription,
    })
}

fn data(message: &Notification, uri: &str) -> Value {
    let image = &message.image;
    let mut data = Map::from_iter([("action".to_owned(), json!(message.action.as_str()))]);
    if let Some(digest) = &message.digest {
        data.insert("digest".to_owned(), json!(format!("{uri}/{image}@{digest}")));
    }
    if let Some(tag) = &message.tag {
        data.insert("tag".to_owned(), json!(format!("{uri}/{image}:{tag}")));
    }
    Value::Object(data)
}

#[cfg(test)]
mod tests {
    use engine::WebhookAction;
    use model::digest::Digest;

    use super::*;

    #[test]
    fn an_envelope() {
        let message = Notification {
            id: [7; 16].into(),
            action: WebhookAction::Insert,
            repository: "projects/p/locations/us/repositories/r".parse().expect("a name"),
            image: "a/b".to_owned(),
            tag: Some("1.0".to_owned()),
            digest: Some(Digest::of(b"m")),
            occurred_at: 1_700_000_000_123_456,
            times_postponed: 0,
        };
        let expected = format!(
            r#"{{"action":"INSERT","digest":"us-docker.x/p/r/a/b@{}","tag":"us-docker.x/p/r/a/b:1.0"}}"#,
            Digest::of(b"m")
        );
        let id = "07070707070707070707070707070707";
        let time = "2023-11-14T22:13:20.123456Z";
        assert_eq!(
            envelope(&message, "us-docker.x/p/r", "projects/p/subscriptions/s"),
            json!({
                "message": {
                    "data": STANDARD.encode(expected),
                    "messageId": id, "message_id": id, "publishTime": time, "publish_time": time,
                },
                "subscription": "projects/p/subscriptions/s",
            })
        );
    }
}
