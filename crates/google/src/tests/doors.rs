//! Tests of the properties that both doors share: the contract, the gate, and the same answers.

use prost::Message;
use serde_json::json;

use super::*;

#[tokio::test]
async fn both_doors_give_the_same_answer() {
    let doors = TestDoors::new();
    let name = REPOSITORY.to_owned();
    let request = by("alice", GetRepositoryRequest { name });
    let over_grpc = doors.grpc().get_repository(request).await.expect("found").into_inner();
    assert_eq!(over_grpc.description, "alice was let in");
    let asked_by_grpc = doors.asked();
    let over_rest = doors.ok(&format!("GET /v1/{REPOSITORY}"), "").await;
    let expected = json!({
        "name": REPOSITORY,
        "format": "DOCKER",
        "mode": "STANDARD_REPOSITORY",
        "description": "alice was let in",
        "labels": {"ant": "ant", "mid": "mid", "zoo": "zoo"},
        "createTime": "2024-05-06T07:08:09.123456Z",
        "sizeBytes": "123456789012",
    });
    assert_eq!(over_rest, expected);
    assert_eq!(doors.asked(), asked_by_grpc);
    let access = RequiredAccess {
        method: "google.devtools.artifactregistry.v1.ArtifactRegistry.GetRepository".to_owned(),
        permission: Some("artifactregistry.repositories.get".to_owned()),
        resource: REPOSITORY.to_owned(),
    };
    assert_eq!(asked_by_grpc, access);
}

/// Every path of the contract leads to its own method, and every method asks the gate what the contract says.
#[tokio::test]
async fn every_path_leads_to_its_method_through_the_gate() {
    let doors = TestDoors::new();
    let mut paths = 0;
    for method in methods() {
        assert!(!method.rules.is_empty(), "{} is not on REST", method.name);
        for rule in &method.rules {
            let path = rule.template.replace("**", "a/b").replace('*', "x");
            let path = path.split(['{', '}']).map(|part| part.rsplit('=').next().expect("one"));
            let path = path.collect::<String>();
            let (status, answer) = doors.rest(&format!("{} {path}", rule.method), "").await;
            let expected = [StatusCode::OK, StatusCode::NOT_IMPLEMENTED];
            assert!(expected.contains(&status), "{path}: {status} {answer}");
            let asked = doors.asked();
            assert_eq!(asked.method, method.name, "{} {path}", rule.method);
            let (permission, names_one) = match &method.access {
                AccessRule::Permission { permission, resource } => {
                    (Some(permission), resource.is_some())
                }
                AccessRule::Open { .. } => (None, false),
            };
            assert_eq!(asked.permission.as_ref(), permission);
            assert_eq!(asked.resource.is_empty(), !names_one, "{path}");
            assert!(path.contains(&asked.resource), "{path}: {}", asked.resource);
            paths += 1;
        }
    }
    assert!(paths > 80, "{paths}");
}

#[tokio::test]
async fn nobody_passes_without_the_gate() {
    let doors = TestDoors::new();
    let name = REPOSITORY.to_owned();
    let mut client = doors.grpc();
    let anonymous = tonic::Request::new(GetRepositoryRequest { name: name.clone() });
    let status = client.get_repository(anonymous).await.expect_err("nobody");
    assert_eq!(status.code(), Code::Unauthenticated);
    let status = client
        .get_repository(by("mallory", GetRepositoryRequest { name }))
        .await
        .expect_err("not you");
    assert_eq!(status.code(), Code::PermissionDenied);

    let request = http::Request::get(format!("/v1/{REPOSITORY}"));
    let response = doors.send(request.body(Body::empty()).expect("valid")).await;
    let challenge = &response.headers()["www-authenticate"];
    assert_eq!(challenge, "Bearer realm=\"https://accounts.google.com/\"");
    let (status, answer) = read(response).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer["error"]["status"], "UNAUTHENTICATED");

    let request = http::Request::get(format!("/v1/{REPOSITORY}")).extension(Caller("mallory"));
    let (status, answer) =
        read(doors.send(request.body(Body::empty()).expect("valid")).await).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IAM_PERMISSION_DENIED",
        "domain": "berth.test",
        "metadata": {"resource": REPOSITORY},
    });
    let error = json!({"code": 403, "message": "not you", "status": "PERMISSION_DENIED", "details": [info]});
    assert_eq!(answer, json!({ "error": error }));
}

/// An empty name would stand for the organization.
#[tokio::test]
async fn a_call_that_names_no_resource_does_not_reach_the_gate() {
    let doors = TestDoors::new();
    let request = by("alice", GetRepositoryRequest::default());
    let status = doors.grpc().get_repository(request).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    let request = by("alice", UpdateRepositoryRequest::default());
    let status = doors.grpc().update_repository(request).await.expect_err("refused");
    assert_eq!(status.message(), "Invalid value at 'repository.name': has to name a resource");
    assert!(!doors.was_asked());
}

#[tokio::test]
async fn a_method_that_is_not_there_yet_says_so_on_both_doors() {
    let doors = TestDoors::new();
    let (status, answer) = doors.rest(&format!("GET /v1/{REPOSITORY}/files"), "").await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(answer["error"]["status"], "UNIMPLEMENTED");
    let parent = REPOSITORY.to_owned();
    let request = proto::google::devtools::artifactregistry::v1::ListFilesRequest {
        parent,
        ..Default::default()
    };
    let status = doors.grpc().list_files(by("alice", request)).await.expect_err("not yet");
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn operations_carry_the_types_that_clients_know() {
    let doors = TestDoors::new();
    let parent = "projects/p/locations/us";
    let answer = doors
        .ok(&format!("POST /v1/{parent}/repositories?repositoryId=r"), r#"{"format":"DOCKER"}"#)
        .await;
    let kind =
        |name: &str| format!("type.googleapis.com/google.devtools.artifactregistry.v1.{name}");
    let response = json!({"@type": kind("Repository"), "name": REPOSITORY, "format": "DOCKER"});
    let expected = json!({
        "name": format!("{parent}/operations/1"),
        "metadata": {"@type": kind("OperationMetadata")},
        "done": true,
        "response": response,
    });
    assert_eq!(answer, expected);
}

/// The gate reads the message by its descriptor, the service by its type: what one sees the other has to see.
#[tokio::test]
async fn gate_and_service_read_a_message_with_repeated_fields_alike() {
    let doors = TestDoors::new();
    let named = |name: &str| {
        let repository = Some(Repository { name: name.to_owned(), ..Repository::default() });
        UpdateRepositoryRequest { repository, update_mask: None }.encode_to_vec()
    };
    let mine = named("projects/mine/locations/us/repositories/r");
    let other = named("projects/other/locations/us/repositories/r");
    let unnamed = [0x0a, 0x03, 0x1a, 0x01, b'x'].to_vec();
    for parts in [[&mine, &other], [&other, &mine], [&mine, &unnamed], [&unnamed, &mine]] {
        let message = parts.map(Vec::as_slice).concat();
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        let frame = [&[0], &length[..], &message].concat();
        let path = "/google.devtools.artifactregistry.v1.ArtifactRegistry/UpdateRepository";
        let request = http::Request::post(path)
            .extension(Caller("alice"))
            .header(CONTENT_TYPE, "application/grpc")
            .body(Body::from(frame))
            .expect("valid");
        let answer =
            doors.send(request).await.into_body().collect().await.expect("whole").to_bytes();
        let updated = Repository::decode(&answer[frame::PREFIX..]).expect("a repository");
        assert_eq!(updated.name, doors.asked().resource);
    }
}
