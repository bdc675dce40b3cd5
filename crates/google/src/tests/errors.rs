//! Errors, as clients of either door see them.

use prost::Message;
use serde_json::json;

use super::*;

/// Google's Python client raises an error of its own where the two messages differ.
#[tokio::test]
async fn an_error_says_the_same_everywhere() {
    let doors = TestDoors::new();
    let name = format!("{REPOSITORY}-missing");
    let request = by("alice", GetRepositoryRequest { name: name.clone() });
    let status = doors.grpc().get_repository(request).await.expect_err("missing");
    assert_eq!(status.code(), Code::NotFound);
    let inner = proto::google::rpc::Status::decode(status.details()).expect("readable");
    assert_eq!((inner.code, inner.message.as_str()), (5, status.message()));

    let (code, answer) = doors.rest(&format!("GET /v1/{name}"), "").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "NOT_FOUND",
        "domain": "berth.test",
        "metadata": {"resource": name},
    });
    let error = json!({
        "code": 404,
        "message": status.message(),
        "status": "NOT_FOUND",
        "details": [info],
    });
    assert_eq!(answer, json!({ "error": error }));
}

#[tokio::test]
async fn what_cannot_be_printed_does_not_hide_the_error() {
    let doors = TestDoors::new();
    let (status, answer) = doors.rest(&format!("GET /v1/{REPOSITORY}-odd"), "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let error = json!({"code": 400, "message": "odd", "status": "FAILED_PRECONDITION"});
    assert_eq!(answer, json!({ "error": error }));

    let path = "POST /v1/projects/p/locations/us/repositories?repositoryId=odd";
    let (status, answer) = doors.rest(path, "{}").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let error = json!({"code": 500, "message": "internal error", "status": "INTERNAL"});
    assert_eq!(answer, json!({ "error": error }), "without what went wrong inside");
}

#[tokio::test]
async fn a_field_that_cannot_be_read_is_named() {
    let doors = TestDoors::new();
    for (query, body, field) in [
        ("", r#"{"format":"BOGUS"}"#, "repository.format"),
        ("", r#"{"description":1}"#, "repository.description"),
        ("", r#"{"labels":{"a":2}}"#, "repository.labels.a"),
        ("", r#"{"sizeBytes":"many"}"#, "repository.sizeBytes"),
        (
            "",
            r#"{"virtualRepositoryConfig":{"upstreamPolicies":[{"priority":1},{"priority":"x"}]}}"#,
            "repository.virtualRepositoryConfig.upstreamPolicies[1].priority",
        ),
        (
            "",
            r#"{"dockerConfig":{},"virtualRepositoryConfig":{},"remoteRepositoryConfig":{}}"#,
            "repository",
        ),
        ("?repository.format=BOGUS", "{}", "repository.format"),
    ] {
        let path = format!("POST /v1/projects/p/locations/us/repositories{query}");
        let (status, answer) = doors.rest(&path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {answer}");
        let violation = &answer["error"]["details"][0]["fieldViolations"][0];
        assert!(
            violation["field"].as_str().is_some_and(|name| name.starts_with(field)),
            "{answer}"
        );
        assert!(
            answer["error"]["message"].as_str().is_some_and(|text| text.contains(field)),
            "{answer}"
        );
    }
    let path = "GET /v1/projects/p/locations/us/repositories?pageSize=many";
    let (status, answer) = doors.rest(path, "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        answer["error"]["message"].as_str().is_some_and(|text| text.contains("'pageSize'")),
        "{answer}"
    );
    assert!(!doors.was_asked(), "nothing of this became a call");
}

#[tokio::test]
async fn a_body_has_to_be_an_object_of_a_bounded_size() {
    let doors = TestDoors::new();
    let path = "POST /v1/projects/p/locations/us/repositories?repositoryId=r";
    for body in ["null", "[]", "\"x\"", "{", "{}{}"] {
        let (status, answer) = doors.rest(path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer["error"]["status"], "INVALID_ARGUMENT");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(doors.rest(path, &deep).await.0, StatusCode::BAD_REQUEST);

    let described = |length: usize| format!(r#"{{"description":"{}"}}"#, "x".repeat(length));
    let (status, _) = doors.rest(path, &described(MAX_MESSAGE_BYTES - 1024)).await;
    assert_eq!(status, StatusCode::OK);
    let (status, answer) = doors.rest(path, &described(MAX_MESSAGE_BYTES)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let message = "Request payload size exceeds the limit: 4194304 bytes.";
    assert_eq!(answer["error"]["message"], message);

    let repository =
        Repository { description: "x".repeat(MAX_MESSAGE_BYTES), ..Repository::default() };
    let request = CreateRepositoryRequest { repository: Some(repository), ..Default::default() };
    let status = doors.grpc().create_repository(by("alice", request)).await.expect_err("too long");
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, message));
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_googles_404() {
    let doors = TestDoors::new();
    for request in [
        "GET /v1/nothing",
        "GET /v1/",
        "GET /",
        "GET /v1/projects/p/",
        "GET /v1/projects//locations/us/repositories",
        "PUT /v1/projects/p",
        "OPTIONS /v1/projects",
        "POST /v1/projects/p:burn",
        "GET /v3/projects",
        "POST /google.devtools.artifactregistry.v1.ArtifactRegistry/GetRepository",
    ] {
        let (status, answer) = doors.rest(request, "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{request}");
        assert_eq!(answer["error"]["code"], 404);
        assert_eq!(answer["error"]["status"], "NOT_FOUND");
    }
    let (status, _) = doors.rest("GET /v1/projects/%FF", "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(!doors.was_asked());
}

/// Bytes that arrive at the gRPC door and are not a call are refused.
#[tokio::test]
async fn half_a_message_or_a_compressed_one_is_not_a_call() {
    let doors = TestDoors::new();
    let service = "/google.devtools.artifactregistry.v1.ArtifactRegistry";
    for (path, body, code) in [
        (format!("{service}/GetRepository"), &b""[..], Code::InvalidArgument),
        (format!("{service}/GetRepository"), b"\0\0\0\0\x09abc", Code::InvalidArgument),
        (format!("{service}/GetRepository"), b"\0\0\0\0\0\0\0\0\0\0", Code::InvalidArgument),
        (format!("{service}/GetRepository"), b"\0\0\0\0\x02\xff\xff", Code::InvalidArgument),
        (format!("{service}/GetRepository"), b"\x01\0\0\0\0", Code::Unimplemented),
        (format!("{service}/Nothing"), b"\0\0\0\0\0", Code::Unimplemented),
        ("/no.Service/Method".to_owned(), b"\0\0\0\0\0", Code::Unimplemented),
    ] {
        let request = http::Request::post(&path)
            .extension(Caller("alice"))
            .header(CONTENT_TYPE, "application/grpc+proto")
            .body(Body::from(body))
            .expect("valid");
        let response = doors.send(request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["grpc-status"], (code as i32).to_string(), "{path} {body:?}");
    }
    assert!(!doors.was_asked());
}
