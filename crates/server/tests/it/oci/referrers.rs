use model::media_type::OCI_INDEX;

use crate::util::{Image, TestServer, digest_of, on_both};

const IMAGE: &str = "p/r1/image";

on_both! {
    async fn what_refers_to_an_image(server: TestServer) {
        let admin = server.admin();
        let image = Image::new(1);
        let path = format!("/v2/{IMAGE}/referrers/{}", image.digest());
        let before = admin.get(&path).await.expect(200);
        assert_eq!(before.header("content-type"), OCI_INDEX);
        assert_eq!(before.json()["manifests"].as_array().map(Vec::len), Some(0));
        // A subject may come after what refers to it.
        let signature = Image::referring_to(&image.descriptor(), "application/x.signature");
        signature.push_blobs(&admin, IMAGE).await;
        let media_type = model::media_type::OCI_MANIFEST;
        let pushed = admin
            .push_manifest((IMAGE, &signature.digest()), media_type, signature.manifest.clone())
            .await
            .expect(201);
        assert_eq!(pushed.header("oci-subject"), image.digest());
        image.push(&admin, (IMAGE, "latest")).await;
        let bill = Image::referring_to(&image.descriptor(), "application/x.bill");
        bill.push(&admin, (IMAGE, &bill.digest())).await;
        let all = admin.get(&path).await.expect(200).json();
        assert_eq!(all["mediaType"], OCI_INDEX);
        assert_eq!(all["manifests"].as_array().map(Vec::len), Some(2));
        let filtered = admin.get(&format!("{path}?artifactType=application/x.bill")).await.expect(200);
        assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
        let only = &filtered.json()["manifests"];
        assert_eq!(only.as_array().map(Vec::len), Some(1));
        assert_eq!(only[0]["digest"], bill.digest());
        assert_eq!(only[0]["size"], bill.manifest.len());
        assert_eq!(only[0]["artifactType"], "application/x.bill");
        assert_eq!(only[0]["annotations"]["about"], "application/x.bill");
        admin.delete(&format!("/v2/{IMAGE}/manifests/{}", bill.digest())).await.expect(202);
        let left = admin.get(&path).await.expect(200).json();
        assert_eq!(left["manifests"].as_array().map(Vec::len), Some(1));
    }

    async fn referrers_come_in_pages(server: TestServer) {
        let admin = server.admin();
        let image = Image::new(1);
        image.push(&admin, (IMAGE, "latest")).await;
        let referrers = (0..503).map(|n| Image::referring_to(&image.descriptor(), &format!("x/{n}")));
        let referrers: Vec<_> = referrers.collect();
        referrers[0].push_blobs(&admin, IMAGE).await;
        for chunk in referrers.chunks(50) {
            let push = async |referrer: &Image| {
                let media_type = model::media_type::OCI_MANIFEST;
                let at = (IMAGE, referrer.digest());
                let manifest = referrer.manifest.clone();
                admin.push_manifest((at.0, &at.1), media_type, manifest).await.expect(201);
            };
            futures_util::future::join_all(chunk.iter().map(push)).await;
        }
        let mut found = Vec::new();
        let mut next = Some(format!("/v2/{IMAGE}/referrers/{}", image.digest()));
        while let Some(path) = next {
            let page = admin.get(&path).await.expect(200);
            let json = page.json();
            let manifests = json["manifests"].as_array().expect("a list").clone();
            found.extend(manifests.iter().map(|entry| entry["digest"].to_string()));
            next = crate::util::next_page(&page);
        }
        assert_eq!(found.len(), 503);
        found.dedup();
        assert_eq!(found.len(), 503, "nothing comes twice");
        assert!(found.is_sorted());
    }

    async fn a_digest_that_is_none(server: TestServer) {
        let admin = server.admin();
        Image::new(1).push(&admin, (IMAGE, "latest")).await;
        let unknown = admin.get(&format!("/v2/{IMAGE}/referrers/{}", digest_of("nothing"))).await;
        unknown.expect(200);
        let refused = admin.get(&format!("/v2/{IMAGE}/referrers/latest")).await;
        refused.expect_error("400 DIGEST_INVALID");
    }
}
