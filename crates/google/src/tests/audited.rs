//! The methods of the contract, as the audit log has them.

use std::collections::{BTreeMap, BTreeSet};

use web::audit::AuditedOperation;

use crate::{AccessRule, methods};

/// Every method that is served, by what the log makes of it: a new one stands in one of these lists.
#[test]
fn methods_of_the_apis() {
    let mut seen = BTreeMap::<String, BTreeSet<String>>::new();
    let mut services = BTreeSet::new();
    for method in methods() {
        let permission = match &method.access {
            AccessRule::Permission { permission, .. } => Some(permission.as_str()),
            AccessRule::Open { .. } => None,
        };
        let (service, short) = method.name.rsplit_once('.').expect("a service before it");
        let kind = match AuditedOperation::rpc(&method.name, permission) {
            None => "not at all".to_owned(),
            Some(operation) => {
                assert_eq!(operation.method, method.name);
                services.insert(format!("{service} {}", operation.service));
                format!("{} {:?}", operation.kind.as_str(), operation.when)
            }
        };
        seen.entry(kind).or_default().insert(short.to_owned());
    }
    let expected = [
        (
            "ADMIN_READ WithReads",
            "ExplainPull GetIamPolicy GetProject GetProjectSettings GetRepository GetRole GetRule GetService GetServiceAccount GetServiceAccountKey GetVPCSCConfig GetVulnerabilityOccurrencesSummary ListOccurrences ListProjects ListRepositories ListRoles ListRules ListServiceAccountKeys ListServiceAccounts ListVirtualReaders QueryGrantableRoles QueryTestablePermissions",
        ),
        (
            "ADMIN_WRITE Always",
            "CreateProject CreateRepository CreateRole CreateRule CreateServiceAccount CreateServiceAccountKey DeleteProject DeleteRepository DeleteRole DeleteRule DeleteServiceAccount DeleteServiceAccountKey DisableServiceAccount DisableServiceAccountKey EnableService EnableServiceAccount EnableServiceAccountKey PatchServiceAccount ResumeVirtualReader SetIamPolicy StopVirtualReader UndeleteRole UndeleteServiceAccount UpdateProjectSettings UpdateRepository UpdateRole UpdateRule UpdateServiceAccount UpdateVPCSCConfig UploadServiceAccountKey",
        ),
        ("DATA_READ Always", "GenerateAccessToken GenerateIdToken SignBlob SignJwt"),
        (
            "DATA_READ WithReads",
            "DownloadFile GetAttachment GetDockerImage GetFile GetPackage GetTag GetVersion ListAttachments ListDockerImages ListFiles ListPackages ListTags ListVersions",
        ),
        (
            "DATA_WRITE Always",
            "BatchDeleteVersions CreateAttachment CreateTag DeleteAttachment DeleteFile DeletePackage DeleteTag DeleteVersion UpdateFile UpdatePackage UpdateTag UpdateVersion",
        ),
        ("not at all", "GetLocation GetOperation ListLocations TestIamPermissions"),
    ];
    let expected = expected.map(|(kind, names)| (kind.to_owned(), names.to_owned()));
    let seen = seen.into_iter().map(|(kind, names)| (kind, Vec::from_iter(names).join(" ")));
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    let expected = [
        "google.api.serviceusage.v1.ServiceUsage serviceusage.googleapis.com",
        "google.cloud.resourcemanager.v1.Organizations cloudresourcemanager.googleapis.com",
        "google.cloud.resourcemanager.v1.Projects cloudresourcemanager.googleapis.com",
        "google.devtools.artifactregistry.v1.ArtifactRegistry artifactregistry.googleapis.com",
        "google.devtools.containeranalysis.v1.ContainerAnalysis containeranalysis.googleapis.com",
        "google.iam.admin.v1.IAM iam.googleapis.com",
        "google.iam.credentials.v1.IAMCredentials iamcredentials.googleapis.com",
        "grafeas.v1.Grafeas containeranalysis.googleapis.com",
    ];
    assert_eq!(Vec::from_iter(services), expected);
}
