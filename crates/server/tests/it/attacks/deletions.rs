//! Attack 10: deleting with a token for pushing.

use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::{AccountServer, GoogleClient, Image, digest_of, on_both};

on_both![attack_10_a_token_deletes_what_its_account_may];

/// Google's clients ask for `push` when they delete, so a token for pushing deletes what its account may delete.
async fn attack_10_a_token_deletes_what_its_account_may(accounts: AccountServer) {
    const IMAGE: &str = "my-project/r1/image";
    accounts.create_repository(PROJECT, "r1").await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, (IMAGE, "latest")).await;
    accounts.owner.client.push_blob(IMAGE, "needed by nothing").await;
    let name = repository_name(PROJECT, "r1");
    let writer =
        accounts.create_actor_with("writer", ("roles/artifactregistry.writer", &name)).await;
    let keeper =
        accounts.create_actor_with("keeper", ("roles/artifactregistry.repoAdmin", &name)).await;
    let with = async |who: &GoogleClient, actions: &str| {
        let token = who.registry_token(&[&format!("repository:{IMAGE}:{actions}")]).await;
        accounts.anonymous().with_token(&token)
    };
    let blob = format!("/v2/{IMAGE}/blobs/{}", digest_of("needed by nothing"));
    let manifests = format!("/v2/{IMAGE}/manifests");
    let paths = [format!("{manifests}/latest"), format!("{manifests}/{}", image.digest()), blob];
    let other = keeper.registry_token(&["repository:my-project/r1/other:pull,push,delete"]).await;
    for path in &paths {
        for who in [&keeper, &accounts.owner] {
            for narrow in [with(who, "pull").await, accounts.anonymous().with_token(&other)] {
                let refused = narrow.delete(path).await.expect_oci_error("401 DENIED");
                let challenge = refused.header("www-authenticate");
                assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
                assert!(challenge.contains(":pull,push,delete\""), "{challenge}");
            }
        }
        // A token gives no more than the account's own permissions.
        for actions in ["pull,push", "pull,push,delete", "delete", "*"] {
            with(&writer, actions).await.delete(path).await.expect_oci_error("403 DENIED");
        }
        with(&writer, "pull").await.get(path).await.expect_status(200);
    }
    let pushing = with(&keeper, "pull,push").await;
    let upload = pushing.start_upload(IMAGE).await;
    pushing.delete(&upload).await.expect_status(204);
    for path in &paths {
        pushing.delete(path).await.expect_status(202);
        pushing.get(path).await.expect_status(404);
    }
    image.push(&accounts.owner.client, (IMAGE, "latest")).await;
    for actions in ["push", "delete"] {
        let deleting = with(&keeper, actions).await;
        deleting.delete(&format!("{manifests}/latest")).await.expect_status(202);
        image.push(&accounts.owner.client, (IMAGE, "latest")).await;
        deleting.get(&format!("{manifests}/latest")).await.expect_oci_error("401 DENIED");
    }
}
