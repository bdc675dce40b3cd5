//! The requests of the matrix, and the access that each needs.

use google::AccessRule;
use http::Method;
use serde_json::{Value, json};
use web::routes::RouteAccess;

use crate::util::google::{LOCATION, repository_name};
use crate::util::routes::{self, ResourceNames};
use crate::util::{Image, digest_of};

use super::evaluator::{CallerIdentity, Evaluator, ORGANIZATION};

/// The access that a request needs.
#[derive(Debug, Clone)]
pub(crate) enum RequiredAccess {
    /// Nothing: the request is allowed even with an invalid credential.
    Nothing,
    /// No invalid credential: the request is allowed without one.
    NoMore,
    /// Authentication.
    Somebody,
    /// This permission on the resource of this name.
    Permission(String, String),
}

impl RequiredAccess {
    fn permission_on(permission: &str, name: &str) -> Self {
        Self::Permission(permission.to_owned(), name.to_owned())
    }

    pub(crate) fn is_allowed(&self, evaluator: &Evaluator, who: &CallerIdentity) -> bool {
        match self {
            Self::Nothing => true,
            Self::NoMore => *who == CallerIdentity::Nobody || Evaluator::is_authenticated(who),
            Self::Somebody => Evaluator::is_authenticated(who),
            Self::Permission(permission, name) => evaluator.allows(who, permission, name),
        }
    }
}

/// The change that an allowed request leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SideEffect {
    Nothing,
    NoRepository,
    NoProject,
    NewRepository,
}

/// A request of the matrix.
#[derive(Debug, Clone)]
pub(crate) struct RequestCase {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) needs: RequiredAccess,
    pub(crate) leaves: SideEffect,
    /// The same call by gRPC: the path and the message.
    pub(crate) grpc: Option<(String, prost_reflect::DynamicMessage)>,
}

/// The names of the matrix.
pub(crate) const PROJECT: &str = "matrix-project";
pub(crate) const OTHER: &str = "other-project";
pub(crate) const REPOSITORY: &str = "r1";
pub(crate) const SIBLING: &str = "r2";
pub(crate) const TARGET: &str = "target-robot";

pub(crate) fn account_email(id: &str) -> String {
    format!("{id}@{PROJECT}.iam.gserviceaccount.com")
}

/// All methods of the contract, in all of their REST forms.
pub(crate) fn google_cases() -> Vec<RequestCase> {
    let names = |account: &str| {
        ResourceNames::new(PROJECT, REPOSITORY, (&account_email(account), &"0".repeat(40)))
    };
    let (there, absent) = (names(TARGET), names("absent-robot"));
    let cases = routes::all_routes().into_iter().map(|route| {
        // A request that would disable the target names an account that is not there.
        let names = match route.method_name() {
            "DeleteServiceAccount" | "DisableServiceAccount" => &absent,
            _ => &there,
        };
        let needs = match &route.method.access {
            AccessRule::Permission { permission, resource: None } => {
                RequiredAccess::permission_on(permission, ORGANIZATION)
            }
            AccessRule::Permission { permission, resource: Some(_) } => {
                RequiredAccess::permission_on(permission, &route.resource_name(names))
            }
            AccessRule::Open { .. } => open_method_access(route.method_name(), &route.template),
        };
        let leaves = match route.method_name() {
            "DeleteRepository" => SideEffect::NoRepository,
            "DeleteProject" => SideEffect::NoProject,
            _ => SideEffect::Nothing,
        };
        let callable = leaves == SideEffect::Nothing
            && matches!(route.method.access, AccessRule::Permission { .. });
        RequestCase {
            method: route.verb.clone(),
            path: names.fill_template(&route.template),
            body: harmless_body(route.method_name()).to_string(),
            needs,
            leaves,
            grpc: callable.then(|| {
                (
                    route.method.path.clone(),
                    route.build_message(
                        &route.resource_name(names),
                        &harmless_body(route.method_name()),
                    ),
                )
            }),
        }
    });
    cases.collect()
}

/// The access to methods that the contract leaves open. A new open method has to be added here.
fn open_method_access(method: &str, template: &str) -> RequiredAccess {
    let target = format!("projects/{PROJECT}/serviceAccounts/{}", account_email(TARGET));
    let on_target = |permission: &str| {
        RequiredAccess::permission_on(&format!("iam.serviceAccounts.{permission}"), &target)
    };
    // Custom roles are for whoever may see them, and predefined roles for everybody.
    let on_parent = |permission: &str| match template {
        _ if template.contains("organizations/") => {
            RequiredAccess::permission_on(permission, ORGANIZATION)
        }
        _ if template.contains("projects/") => {
            RequiredAccess::permission_on(permission, &format!("projects/{PROJECT}"))
        }
        _ => RequiredAccess::Somebody,
    };
    match method {
        "ListRoles" => on_parent("iam.roles.list"),
        "GetRole" => on_parent("iam.roles.get"),
        "GenerateAccessToken" => on_target("getAccessToken"),
        "GenerateIdToken" => on_target("getOpenIdToken"),
        "SignBlob" => on_target("signBlob"),
        "SignJwt" => on_target("signJwt"),
        "TestIamPermissions"
        | "ListProjects"
        | "GetOperation"
        | "QueryGrantableRoles"
        | "QueryTestablePermissions" => RequiredAccess::Somebody,
        other => panic!("{other} is open, and nobody said here what it takes"),
    }
}

/// A body with which an allowed request changes nothing that another request needs.
fn harmless_body(method: &str) -> Value {
    match method {
        "SetIamPolicy" => json!({ "policy": { "etag": "AAAA" } }),
        "CreateServiceAccountKey" => json!({ "keyAlgorithm": "KEY_ALG_RSA_1024" }),
        "GenerateAccessToken" => json!({ "scope": ["x"] }),
        "GenerateIdToken" => json!({ "audience": "x" }),
        "SignJwt" => json!({ "payload": "{}" }),
        _ => json!({}),
    }
}

/// All routes outside the contract, with all of their methods.
pub(crate) fn declared_cases(image: &Image) -> Vec<RequestCase> {
    let name = repository_name(PROJECT, REPOSITORY);
    let mut cases = Vec::new();
    for route in berth_server::routes::registry_routes().declared() {
        let needs = match route.asks {
            RouteAccess::Public(_) => RequiredAccess::Nothing,
            RouteAccess::OptionalCredential(_) => RequiredAccess::NoMore,
            // Here, the anonymous caller sends no credential.
            RouteAccess::AnyCredential(_) | RouteAccess::Authenticated => RequiredAccess::Somebody,
            RouteAccess::Permission(permission) => {
                RequiredAccess::permission_on(permission.as_str(), &name)
            }
        };
        for method in route.methods.split(' ') {
            let paths = request_paths((method, route.path), image).into_iter();
            let method: Method = method.parse().expect("a method");
            cases.extend(paths.map(|path| plain_case(method.clone(), path, needs.clone())));
        }
    }
    cases
}

/// The paths of a route that change nothing that another request needs. A new route has to be added here.
fn request_paths((method, route): (&str, &str), image: &Image) -> Vec<String> {
    let (digest, blob) = (image.digest(), digest_of(&image.blobs[1]));
    let unknown = digest_of("never pushed");
    let (start, ends) = match (method, route) {
        (
            _,
            "/v2" | "/v2/" | "/v2/_catalog" | "/v2/token" | "/token" | "/introspect" | "/revoke"
            | "/oauth2/v3/certs",
        ) => return vec![route.to_owned()],
        (_, "/v2/{image}/tags/list") => {
            ("", vec!["tags/list".to_owned(), "image/tags/list".to_owned()])
        }
        (_, "/v2/{image}/referrers/{digest}") => ("image/referrers/", vec![digest]),
        ("GET" | "HEAD", "/v2/{image}/manifests/{reference}") => {
            ("image/manifests/", vec!["latest".to_owned(), digest])
        }
        ("PUT", "/v2/{image}/manifests/{reference}") => {
            ("image/manifests/", vec!["x".to_owned(), unknown])
        }
        ("DELETE", "/v2/{image}/manifests/{reference}") => {
            ("image/manifests/", vec!["absent".to_owned(), unknown])
        }
        ("GET" | "HEAD", "/v2/{image}/blobs/{digest}") => ("image/blobs/", vec![blob]),
        ("DELETE", "/v2/{image}/blobs/{digest}") => ("image/blobs/", vec![unknown]),
        ("POST", "/v2/{image}/blobs/uploads/") => (
            "image/blobs/uploads/",
            vec![String::new(), format!("?digest={blob}"), format!("?mount={unknown}")],
        ),
        (_, "/v2/{image}/blobs/uploads/{id}") => {
            ("image/blobs/uploads/", vec!["x".to_owned(), format!("x?digest={blob}")])
        }
        _ => panic!("{method} {route} is new, and nobody said here how to ask for it"),
    };
    ends.iter().map(|end| format!("/v2/{PROJECT}/{REPOSITORY}/{start}{end}")).collect()
}

/// The routes declare the permissions. Each must match the HTTP method.
#[test]
fn attack_14_permissions_match_the_http_methods() {
    for route in berth_server::routes::registry_routes().declared() {
        let RouteAccess::Permission(permission) = route.asks else { continue };
        for method in route.methods.split(' ') {
            let action = match method {
                _ if route.path.contains("/blobs/uploads/") => "upload",
                "GET" | "HEAD" => "download",
                "PUT" => "upload",
                "DELETE" => "delete",
                other => panic!("{other} {}", route.path),
            };
            let expected = format!("artifactregistry.repositories.{action}Artifacts");
            assert_eq!(permission.as_str(), expected, "{method} {}", route.path);
        }
    }
}

fn plain_case(method: Method, path: String, needs: RequiredAccess) -> RequestCase {
    RequestCase {
        method,
        path,
        body: String::new(),
        needs,
        leaves: SideEffect::Nothing,
        grpc: None,
    }
}

/// The scopes of a registry token for everything in the matrix.
pub(crate) fn registry_scopes() -> Vec<String> {
    let paths = [
        format!("{PROJECT}/{REPOSITORY}/image"),
        format!("{PROJECT}/{REPOSITORY}"),
        format!("{PROJECT}/{SIBLING}/image"),
        format!("{PROJECT}/absent/image"),
    ];
    paths.iter().map(|path| format!("repository:{path}:*")).collect()
}

/// The name of a repository that is not there.
pub(crate) fn absent_repository() -> String {
    format!("projects/{PROJECT}/locations/{LOCATION}/repositories/absent")
}
