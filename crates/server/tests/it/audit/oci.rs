//! Entries of pushes, pulls and deletes.

use model::media_type::OCI_MANIFEST;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{entry_of, summarize_entries, summarize_entry, with_request_id, written_entries};
use crate::util::callers::{email_of, key_of};
use crate::util::{Image, TestServer, digest_of, on_both};

const AGENT: &str = "docker/20.10 \"quoted\"";
const R2: &str = "projects/p/locations/us-west1/repositories/r2";
const UPLOAD: &str = "artifactregistry.repositories.uploadArtifacts";
const DELETE: &str = "artifactregistry.repositories.deleteArtifacts";

on_both![
    each_step_of_a_push_is_recorded,
    refusals_are_recorded,
    failures_after_the_permission_are_recorded,
    requests_of_clients_that_leave_are_recorded,
    reads_are_recorded_if_the_setting_says_so
];

async fn each_step_of_a_push_is_recorded(server: TestServer) {
    let writer = server.client_of("writer-2").with_header("user-agent", AGENT);
    let image = Image::new(1);
    image.push_blobs(&writer, "p/r2/a/image").await;
    let path = "/v2/p/r2/a/image/manifests/latest?tag=v1";
    let typed = with_request_id(&writer, "the-push").with_header("content-type", OCI_MANIFEST);
    typed.put(path, image.manifest.clone()).await.expect_status(201);
    // Chunks have no entries of their own. One upload is cancelled.
    let upload = writer.start_upload("p/r2/a/image").await;
    writer.patch(&upload, "abc").await.expect_status(202);
    writer.patch(&upload, "def").await.expect_status(202);
    let digest = digest_of("abcdef");
    with_request_id(&writer, "the-last-chunk")
        .put(&format!("{upload}?digest={digest}"), "")
        .await
        .expect_status(201);
    let upload = writer.start_upload("p/r2/a/image").await;
    writer.delete(&upload).await.expect_status(204);
    let mount = format!("/v2/p/r2/other/blobs/uploads/?mount={digest}&from=p/r2/a/image");
    with_request_id(&writer, "the-mount").post(&mount, "").await.expect_status(201);
    let entries = written_entries(&server).await;
    let finished = "Docker-FinishUpload 0 uploadArtifacts+";
    let started = "Docker-StartUpload 0 uploadArtifacts+";
    assert_eq!(
        summarize_entries(&entries),
        [
            finished,
            finished,
            finished,
            "Docker-PutManifest 0 uploadArtifacts+",
            started,
            finished,
            started,
            "Docker-CancelUpload 0 uploadArtifacts+",
            "Docker-FinishUpload 0 uploadArtifacts+ downloadArtifacts+",
        ]
    );
    let push = entry_of(&entries, "the-push");
    assert_eq!(push["logName"], "projects/p/logs/cloudaudit.googleapis.com%2Fdata_access");
    assert_eq!(push["severity"], "INFO");
    let (digest_of_image, key) = (image.digest(), key_of("writer-2"));
    let key_name = format!("projects/p/serviceAccounts/{}/keys/{}", key.email(), key.id());
    assert_eq!(
        push["protoPayload"],
        json!({
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "artifactregistry.googleapis.com",
            "methodName": "Docker-PutManifest",
            "resourceName": format!("{R2}/dockerImages/a/image@{digest_of_image}"),
            "authenticationInfo": {
                "principalEmail": key.email(),
                "serviceAccountKeyName": format!("//iam.googleapis.com/{key_name}"),
            },
            "authorizationInfo": [{
                "resource": R2, "permission": UPLOAD, "granted": true,
                "permissionType": "DATA_WRITE",
            }],
            "requestMetadata": {
                "callerIp": "127.0.0.1",
                "callerSuppliedUserAgent": AGENT,
                "requestAttributes": { "id": "the-push" },
            },
            "status": {},
            "metadata": { "image": "a/image", "tags": ["latest", "v1"], "digest": digest_of_image },
        })
    );
    for request in ["the-last-chunk", "the-mount"] {
        let blob = &entry_of(&entries, request)["protoPayload"];
        assert_eq!(blob["metadata"]["digest"], digest.as_str());
        assert_eq!(blob["resourceName"], R2);
    }
    let asked = &entry_of(&entries, "the-mount")["protoPayload"]["authorizationInfo"];
    assert_eq!(asked[1]["permissionType"], "DATA_READ");
    let mut ids: Vec<_> = entries.iter().map(|entry| entry["insertId"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), entries.len(), "each has its own id");
}

async fn refusals_are_recorded(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, ("p/r1/image", "latest")).await;
    let upload = admin.start_upload("p/r1/image").await;
    let blob = digest_of(&image.blobs[0]);
    let before = written_entries(&server).await.len();
    let reader = with_request_id(&server.client_of("reader-1"), "of-the-reader");
    let tag = "/v2/p/r1/image/manifests/latest";
    let by_digest = format!("/v2/p/r1/image/manifests/{}", image.digest());
    reader.put(tag, "{}").await.expect_status(403);
    reader.post("/v2/p/r1/image/blobs/uploads/", "").await.expect_status(403);
    reader.patch(&upload, "x").await.expect_status(403);
    reader.put(&format!("{upload}?digest={blob}"), "").await.expect_status(403);
    reader.delete(&upload).await.expect_status(403);
    reader.delete(tag).await.expect_status(403);
    reader.delete(&by_digest).await.expect_status(403);
    reader.delete(&format!("/v2/p/r1/image/blobs/{blob}")).await.expect_status(403);
    server.anonymous().put(tag, "{}").await.expect_status(401);
    // The caller may do it, but not with this token.
    server
        .client_scoped_to_2()
        .await
        .put("/v2/p/r2/another/manifests/latest", "{}")
        .await
        .expect_status(401);
    // An unknown credential is refused at a write and at `/v2/`.
    with_request_id(&server.anonymous().with_token("mallory"), "of-mallory")
        .put(tag, "{}")
        .await
        .expect_status(401);
    with_request_id(&server.anonymous().with_token("mallory"), "at-the-door")
        .get("/v2/")
        .await
        .expect_status(401);
    server.anonymous().get("/v2/").await.expect_status(401);
    let entries = written_entries(&server).await.split_off(before);
    assert_eq!(
        summarize_entries(&entries),
        [
            "Docker-PutManifest 7 uploadArtifacts-",
            "Docker-StartUpload 7 uploadArtifacts-",
            "Docker-PatchUpload 7 uploadArtifacts-",
            "Docker-FinishUpload 7 uploadArtifacts-",
            "Docker-CancelUpload 7 uploadArtifacts-",
            "Docker-DeleteTag 7 deleteArtifacts-",
            "Docker-DeleteManifest 7 deleteArtifacts-",
            "Docker-DeleteBlob 7 deleteArtifacts-",
            "Docker-PutManifest 16 uploadArtifacts-",
            "Docker-PutManifest 16 uploadArtifacts-",
            "Docker-PutManifest 16",
            "Docker-Ping 16",
        ]
    );
    assert!(entries.iter().all(|entry| entry["severity"] == "ERROR"));
    let name = "projects/p/locations/us-west1/repositories/r1";
    let of_tag = &entries[5]["protoPayload"];
    assert_eq!(of_tag["resourceName"], format!("{name}/dockerImages/image:latest"));
    assert_eq!(of_tag["authorizationInfo"][0]["permission"], DELETE);
    assert_eq!(of_tag["authenticationInfo"]["principalEmail"], email_of("reader-1").as_str());
    let of_digest = format!("{name}/dockerImages/image@{}", image.digest());
    assert_eq!(entries[6]["protoPayload"]["resourceName"], of_digest);
    let of_mallory = &entry_of(&entries, "of-mallory")["protoPayload"];
    assert_eq!(of_mallory["authenticationInfo"], json!({}), "nobody is believed to be anybody");
    assert_eq!(of_mallory["status"]["message"], "token refused: there are no parts in it");
}

async fn failures_after_the_permission_are_recorded(server: TestServer) {
    let owner = server.client_of("owner-2");
    owner.delete("/v2/p/r2/none/manifests/latest").await.expect_status(404);
    owner.start_upload("p/r2/image").await;
    let path = "/v2/p/r2/image/blobs/uploads/?digest=";
    owner.post(&format!("{path}{}", digest_of("x")), "y").await.expect_status(400);
    owner.put("/v2/p/r2/image/manifests/latest", "{").await.expect_status(400);
    // An invalid name is refused before a permission is checked.
    owner.put("/v2/p/R2/image/manifests/latest", "{}").await.expect_status(400);
    owner.post("/v2/p/r2/image/manifests/latest", "{}").await.expect_status(405);
    owner.put("/v2/nothing", "{}").await.expect_status(404);
    let entries = written_entries(&server).await;
    assert_eq!(
        summarize_entries(&entries),
        [
            "Docker-DeleteTag 5 deleteArtifacts+",
            "Docker-StartUpload 0 uploadArtifacts+",
            "Docker-StartUpload 3 uploadArtifacts+",
            "Docker-PutManifest 3 uploadArtifacts+",
            "Docker-PutManifest 3",
        ]
    );
    assert_eq!(entries[4]["protoPayload"]["resourceName"], "");
    assert_eq!(
        entries[4]["logName"],
        "organizations/1/logs/cloudaudit.googleapis.com%2Fdata_access"
    );
}

/// The request of a client that leaves may have been completed.
async fn requests_of_clients_that_leave_are_recorded(server: TestServer) {
    let admin = server.admin();
    let upload = admin.start_upload("p/r1/image").await;
    let head = |method: &str, path: &str, id: &str, length: u32| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
                 x-request-id: {id}\r\ncontent-length: {length}\r\n\r\n",
            admin.authorization()
        )
    };
    let connect = async || TcpStream::connect(server.address).await.expect("it listens");
    let mut first = connect().await;
    // The first request holds the upload, and the others wait for it.
    first.write_all(head("PATCH", &upload, "first", 10).as_bytes()).await.expect("open");
    while server.count_blob_files() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    server.wait_for_metrics("berth_http_requests_running 2").await;
    let last = format!("{upload}?digest={}", digest_of("x"));
    // A client may leave before the permission is checked. After some tries one leaves while it waits.
    let mut left = String::new();
    for n in 0..100 {
        let (mut second, id) = (connect().await, format!("second-{n}"));
        second.write_all(head("PUT", &last, &id, 0).as_bytes()).await.expect("open");
        server.wait_for_metrics("berth_http_requests_running 3").await;
        drop(second);
        server.wait_for_metrics("berth_http_requests_running 2").await;
        let entries = written_entries(&server).await;
        left = summarize_entry(entry_of(&entries, &id));
        assert!(left.starts_with("Docker-FinishUpload 1"), "{left}");
        if left.ends_with('+') {
            break;
        }
    }
    assert_eq!(left, "Docker-FinishUpload 1 uploadArtifacts+");
}

async fn reads_are_recorded_if_the_setting_says_so(server: TestServer) {
    let image = Image::new(1);
    image.push(&server.admin(), ("p/r1/image", "latest")).await;
    let reads = async |server: &TestServer| {
        let (reader, blob) = (server.client_of("reader-1"), digest_of(&image.blobs[0]));
        let image = "/v2/p/r1/image";
        reader.get(&format!("{image}/manifests/latest")).await.expect_status(200);
        reader.head(&format!("{image}/manifests/latest")).await.expect_status(200);
        reader.get(&format!("{image}/blobs/{blob}")).await.expect_status(200);
        reader.head(&format!("{image}/blobs/{blob}")).await.expect_status(200);
        reader.get(&format!("{image}/tags/list")).await.expect_status(200);
        reader.get("/v2/p/r1/tags/list").await.expect_status(200);
        reader.get(&format!("{image}/referrers/{blob}")).await.expect_status(200);
        reader.get("/v2/_catalog").await.expect_status(200);
        reader.get("/v2/").await.expect_status(200);
        let nobody = server.client_of("nobody");
        nobody.get(&format!("{image}/manifests/latest")).await.expect_status(403);
        server
            .anonymous()
            .with_token("mallory")
            .get(&format!("{image}/manifests/latest"))
            .await
            .expect_status(401);
    };
    let before = written_entries(&server).await;
    reads(&server).await;
    assert_eq!(written_entries(&server).await, before);
    let mut server = server;
    server.stop().await;
    let server = server.restart_with(|config| config.audit.reads = true).await;
    reads(&server).await;
    let entries = written_entries(&server).await.split_off(before.len());
    assert_eq!(
        summarize_entries(&entries),
        [
            "Docker-GetManifest 0 downloadArtifacts+",
            "Docker-HeadManifest 0 downloadArtifacts+",
            "Docker-ServeBlob 0 downloadArtifacts+",
            "Docker-HeadBlob 0 downloadArtifacts+",
            "Docker-GetTags 0 downloadArtifacts+",
            "Docker-GetTags 0 downloadArtifacts+",
            "Docker-GetReferrers 0 downloadArtifacts+",
            "Docker-Catalog 0",
            "Docker-GetManifest 7 downloadArtifacts-",
            "Docker-GetManifest 16",
        ]
    );
    let read = &entries[0]["protoPayload"];
    assert_eq!(read["metadata"]["digest"], image.digest());
    assert_eq!(read["authorizationInfo"][0]["permissionType"], "DATA_READ");
}
