//! Tests of forms that real clients send and that a strict reader would refuse.

use serde_json::json;

use super::*;

#[tokio::test]
async fn names_come_encoded_once_twice_or_not_at_all() {
    let doors = TestDoors::new();
    let expected = format!("{REPOSITORY}/packages/a%2Fb/tags/v1");
    for package in ["a%2Fb", "a%252Fb", "a%2fb"] {
        let path = format!("DELETE /v1/{REPOSITORY}/packages/{package}/tags/v1");
        assert_eq!(doors.ok(&path, "").await, json!({}));
        assert_eq!(doors.asked().resource, expected);
    }
    for image in ["img@sha256:aa", "img%40sha256%3Aaa"] {
        doors.rest(&format!("GET /v1/{REPOSITORY}/dockerImages/{image}"), "").await;
        assert_eq!(doors.asked().resource, format!("{REPOSITORY}/dockerImages/img@sha256:aa"));
    }
    doors.rest(&format!("GET /v1/{REPOSITORY}/files/a/b%2Fc"), "").await;
    assert_eq!(doors.asked().resource, format!("{REPOSITORY}/files/a/b%2Fc"));
}

#[tokio::test]
async fn a_colon_in_a_name_is_not_a_verb() {
    let doors = TestDoors::new();
    for (request, method, resource) in [
        (
            "GET /v1/projects/example.com:my-project",
            "GetProject",
            "projects/example.com:my-project",
        ),
        ("DELETE /v1/projects/example.com:enable", "DeleteProject", "projects/example.com:enable"),
        ("POST /v1/projects/example.com:p:getIamPolicy", "GetIamPolicy", "projects/example.com:p"),
        ("POST /v1/organizations/1:setIamPolicy", "SetIamPolicy", "organizations/1"),
        (
            "GET /v1/projects/example.com:p/locations/us/repositories/r:getIamPolicy",
            "GetIamPolicy",
            "projects/example.com:p/locations/us/repositories/r",
        ),
        (
            "GET /v1/projects/p/services/containeranalysis.googleapis.com",
            "GetService",
            "projects/p/services/containeranalysis.googleapis.com",
        ),
        (
            "POST /v1/projects/p/services/cloudapis.googleapis.com:enable",
            "EnableService",
            "projects/p/services/cloudapis.googleapis.com",
        ),
        ("GET /v1beta2/projects/p/locations", "ListLocations", "projects/p"),
        (
            "POST /v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com:getIamPolicy",
            "GetIamPolicy",
            "projects/-/serviceAccounts/a@p.iam.gserviceaccount.com",
        ),
    ] {
        doors.rest(request, "").await;
        let asked = doors.asked();
        assert_eq!(asked.method.rsplit('.').next(), Some(method), "{request}");
        assert_eq!(asked.resource, resource, "{request}");
    }
    doors.rest(&format!("GET /v1/{REPOSITORY}/packages/i/versions/sha256:aa"), "").await;
    assert_eq!(doors.asked().resource, format!("{REPOSITORY}/packages/i/versions/sha256:aa"));
}

#[tokio::test]
async fn queries_come_in_both_spellings_with_much_that_is_not_for_us() {
    let doors = TestDoors::new();
    let parent = "projects/p/locations/us";
    for query in [
        "pageSize=7&pageToken=t&orderBy=name+desc&filter=name%3D%22a%22",
        "page_size=7&page_token=t&order_by=name%20desc&filter=name%3d%22a%22&alt=json",
        "%24alt=json%3Benum-encoding%3Dint&pageSize=7&pageToken=t&orderBy=name%20desc&filter=name=%22a%22&quotaUser=u",
    ] {
        let answer = doors.ok(&format!("GET /v1/{parent}/repositories?{query}"), "").await;
        assert_eq!(answer, json!({"nextPageToken": format!("{parent}|7|t|name=\"a\"|name desc")}));
    }
}

#[tokio::test]
async fn enums_are_numbers_only_for_who_asks() {
    let doors = TestDoors::new();
    let path = format!("GET /v1/{REPOSITORY}?%24alt=json%3Benum-encoding%3Dint");
    assert_eq!(doors.ok(&path, "").await["format"], 1);
    assert_eq!(doors.ok(&format!("GET /v1/{REPOSITORY}?alt=json"), "").await["format"], "DOCKER");
}

#[tokio::test]
async fn a_repository_is_created_whatever_the_spelling() {
    let doors = TestDoors::new();
    for (query, body) in [
        ("repositoryId=r", r#"{"format":"DOCKER","mode":"MODE_UNSPECIFIED","name":"x"}"#),
        ("repository_id=r", r#"{"format":"docker","satisfiesPzs":null}"#),
        ("repositoryId=r", r#"{"format":1,"sbomConfig":{"enablementConfig":"INHERITED"}}"#),
        ("repositoryId=r&%24alt=json%3Benum-encoding%3Dint", "{\n  \"format\": 1\n}\n"),
    ] {
        let path = format!("POST /v1/projects/p/locations/us/repositories?{query}");
        let answer = doors.ok(&path, body).await;
        let format = &answer["response"]["format"];
        assert!(*format == json!("DOCKER") || *format == json!(1), "{answer}");
        assert_eq!(
            answer["response"]["name"], REPOSITORY,
            "the body's own name counts for nothing"
        );
    }
}

#[tokio::test]
async fn an_update_takes_the_whole_resource_back_with_or_without_a_mask() {
    let doors = TestDoors::new();
    let whole = json!({
        "name": "somebody/elses",
        "format": "DOCKER",
        "description": "new",
        "sizeBytes": "12",
        "createTime": "2024-05-06T07:08:09.123456Z",
        "dockerConfig": {"immutableTags": false},
        "registryUri": "us-docker.localhost/p/r",
        "sbomConfig": {"enablementConfig": "INHERITED"},
    });
    for (query, mask) in [
        ("", "none"),
        ("?updateMask=", "none"),
        (
            "?updateMask=description%2CdockerConfig.immutableTags",
            "description docker_config.immutable_tags",
        ),
        (
            "?update_mask=description,docker_config.immutable_tags",
            "description docker_config.immutable_tags",
        ),
        ("?alt=json&updateMask=labels", "labels"),
    ] {
        let answer = doors.ok(&format!("PATCH /v1/{REPOSITORY}{query}"), &whole.to_string()).await;
        assert_eq!(answer["labels"]["mask"], mask, "{query}");
        assert_eq!(answer["name"], REPOSITORY);
        assert_eq!(answer["description"], "new");
        assert_eq!(answer["dockerConfig"], json!({}), "set, to its default");
    }
    let answer = doors.ok(&format!("PATCH /v1/{REPOSITORY}"), "").await;
    assert_eq!(answer["name"], REPOSITORY, "the body may be missing");
}

/// A name that nobody has is a mistake, which would be lost without a word. Queries speak of the call as well.
#[tokio::test]
async fn what_nobody_has_is_refused_in_a_body_and_passed_over_in_a_query() {
    let doors = TestDoors::new();
    let patch = format!("PATCH /v1/{REPOSITORY}");
    for (body, at, name) in [
        (json!({"whatIsThis": [1, {"a": null}]}), "repository", "whatIsThis"),
        (json!({"dockerconfig": {"immutableTags": true}}), "repository", "dockerconfig"),
        (json!({"dockerConfig": {"x": true}}), "repository.docker_config", "x"),
        (
            json!({"cleanupPolicies": {"p": {"mostRecentVersions": {"keep": 1}}}}),
            "repository.cleanup_policies[0].value.most_recent_versions",
            "keep",
        ),
    ] {
        let (status, answer) = doors.rest(&patch, &body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        let message = format!(
            "Invalid JSON payload received. Unknown name \"{name}\" at '{at}': Cannot find field."
        );
        let violation = json!({"field": at, "description": message});
        let detail = json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]});
        let expected = json!({"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": [detail]});
        assert_eq!(answer["error"], expected);
    }
    let path = format!("POST /v1/{REPOSITORY}:setIamPolicy");
    let (_, answer) = doors.rest(&path, r#"{"polciy":{}}"#).await;
    let message = "Invalid JSON payload received. Unknown name \"polciy\": Cannot find field.";
    assert_eq!(answer["error"]["message"], message);
    assert_eq!(answer["error"]["details"][0]["fieldViolations"], json!([{"description": message}]));
    let answer = doors.ok(&format!("{patch}?whatIsThis=1&repository.x=2"), "{}").await;
    assert_eq!(answer["name"], REPOSITORY);
}

#[tokio::test]
async fn headers_of_grpc_and_of_the_body_do_not_come_through() {
    let doors = TestDoors::new();
    let request = http::Request::get(format!("/v1/{REPOSITORY}"))
        .extension(Caller("alice"))
        .header("grpc-encoding", "gzip")
        .header("grpc-timeout", "1n")
        .header("content-type", "application/json")
        .header("content-length", "0");
    let (status, answer) =
        read(doors.send(request.body(Body::empty()).expect("valid")).await).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test]
async fn answers_are_the_same_bytes_each_time() {
    let doors = TestDoors::new();
    let mut answers = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let request = http::Request::get(format!("/v1/{REPOSITORY}")).extension(Caller("alice"));
        let response = doors.send(request.body(Body::empty()).expect("valid")).await;
        answers.insert(response.into_body().collect().await.expect("whole").to_bytes());
    }
    assert_eq!(answers.len(), 1);
}
